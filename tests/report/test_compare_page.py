"""The page of a comparison made by hand."""

import math
import re
from pathlib import Path

import pytest
from browser import OVERLAPS, faults, find_browser, opened

from harness.report.compare_page import render_comparison, write_compare_page
from harness.results.protocol import Mismatch
from harness.results.types import Change, Comparison, GateResult, Row

HOSTILE = "<script>window.hit = 1</script>"


def row(metric: str, values: tuple[float, float], change: Change, **more: object) -> Row:
    given = {"detector": "tinydet_s", "unit": "AP", "higher_is_better": True, "best": (), **more}
    return Row(metric=metric, values=values, seeds=(2, 2), changes=(change,), **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    threads = Mismatch("threads", "1", HOSTILE)
    latency = {"unit": "ms", "higher_is_better": False}
    better = Change("better", 0.016, 1.03, 0.005, 0.027, 0.004)
    return Comparison(
        sides=("base", "other"),
        paths=("/runs/base", f"/runs/{HOSTILE}"),
        rows=(
            row("ap", (0.535, 0.551), better, best=(1,)),
            row("ap_small", (0.234, 0.241), Change("noise", 0.007, 1.03, -0.02, 0.034, 0.6)),
            row("latency_end_to_end_p50", (20.1, 23.4), Change("refused", 3.3, 1.2,
                mismatches=(threads,)), **latency),
            row("ap", (0.37, 0.3), Change("worse", -0.07, 0.8, -0.09, -0.05, 1e-4),
                detector="tinydet_m", best=(0,)),
            row("parameters", (5.04, 5.04), Change("equal", 0.0, 1.0), unit="M"),
            row("throughput", (50.0, 51.0), Change("unknown", 1.0, 1.02), unit="images/s"),
            row("macs_paper", (974.9, math.nan), Change("missing"), unit="MMACs"),
        ),
        notes=(HOSTILE,),
        gates=(
            GateResult("ap >= -0.5", "missed", "ap >= -0.5: missed by tinydet_m"),
            GateResult("ap_small >= -1", "passed", "ap_small >= -1: passed"),
        ),
    )  # fmt: skip


def cells(page: str) -> dict[str, list[str]]:
    """Row's name -> what its cells hand to the clipboard."""
    body = page[page.index('id="compare-table"') :]
    rows = re.findall(
        r"<tr[^>]*>\s*<th scope=\"row\" data-value=\"([^\"]*)\">(.*?)</tr>", body, re.S
    )
    return {name: re.findall(r'<td[^>]*data-value="([^"]*)"', rest) for name, rest in rows}


def test_numbers_are_shown_as_everywhere(comparison: Comparison) -> None:
    shown = cells(render_comparison(comparison))
    assert shown["tinydet_s AP"] == ["%", "53.5", "55.1", "+1.6"]
    assert shown["tinydet_m AP"] == ["%", "37.0", "30.0", "−7.0"]
    assert shown["tinydet_s parameters"] == ["M", "5.04", "5.04", "0.00"]
    assert shown["tinydet_s mult-adds"] == ["MMACs", "974.9", "–", "not measured"]


def test_refused_rows_show_no_difference_and_say_why(comparison: Comparison) -> None:
    page = render_comparison(comparison)
    assert cells(page)["tinydet_s latency"] == ["ms", "20.1", "23.4", "not comparable"]
    assert "threads: 1 against &lt;script&gt;" in page


def test_only_real_differences_stand_in_short(comparison: Comparison) -> None:
    page = render_comparison(comparison)
    short = page[page.index('id="summary"') : page.index('id="gates"')]
    assert re.findall(r'<li class="(\w+)">', short) == ["better", "worse"]
    assert "tinydet_s AP +1.6 points" in short
    assert "1 inside the noise" in short


def test_a_value_in_doubt_is_marked_and_its_reason_stands_in_the_notes() -> None:
    doubt = "it rests on only 9 objects"
    doubted = row(
        "ap", (0.5, 0.6), Change("better", 0.1, 1.2, 0.08, 0.12, 0.01), best=(1,),
        levels=("valid", "doubtful"), doubts=((), (doubt,)),
    )  # fmt: skip
    page = render_comparison(Comparison(("base", "other"), ("a", "b"), (doubted,)))
    assert page.count(f'title="{doubt}"') == 1
    assert "tinydet_s AP +10.0 points, in doubt" in page
    assert f"tinydet_s AP: ! {doubt} (other)" in page[page.index('id="notes"') :]


def test_an_invalid_value_is_neither_best_nor_different() -> None:
    invalid = row(
        "ap", (0.5, 0.9), Change("invalid", note="other: the weights are random"),
        levels=("valid", "invalid"), doubts=((), ("the weights are random",)),
    )  # fmt: skip
    page = render_comparison(Comparison(("base", "other"), ("a", "b"), (invalid,)))
    assert cells(page)["tinydet_s AP"] == ["%", "50.0", "90.0", "invalid"]
    assert "Nothing is really better or worse" in page
    assert "(best)" not in page


def test_detectors_without_an_opposite_stand_in_the_notes_only(comparison: Comparison) -> None:
    lone = Comparison(
        comparison.sides, comparison.paths, comparison.rows, lone=(("tinydet_m", ("base",)),)
    )
    page = render_comparison(lone)
    assert "tinydet_m AP" not in cells(page)
    assert "only in base: tinydet_m" in page


def test_many_differing_conditions_are_told_in_the_notes(comparison: Comparison) -> None:
    names = ("images", "evaluator", "area")
    refused = Change("refused", mismatches=tuple(Mismatch(n, "1", "2") for n in names))
    bare = Comparison(comparison.sides, comparison.paths, (row("ap", (0.5, 0.6), refused),))
    page = render_comparison(bare)
    assert page.count("measured with other images, evaluator and 1 more") == 1
    assert page.count("images: 1 against 2; evaluator: 1 against 2; area: 1 against 2") == 1


def test_gates_carry_their_verdict(comparison: Comparison) -> None:
    page = render_comparison(comparison)
    assert re.findall(r'class="gain (\w+)">(missed|passed)<', page) == [
        ("worse", "missed"),
        ("better", "passed"),
    ]


def test_sections_without_content_are_left_out(comparison: Comparison) -> None:
    bare = Comparison(comparison.sides, comparison.paths, comparison.rows[:2])
    page = render_comparison(bare)
    assert 'id="gates"' not in page
    assert 'href="#notes"' not in page


@pytest.mark.skipif(find_browser() is None, reason="no chromium")
@pytest.mark.parametrize("width", [400, 1000])
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser(comparison: Comparison, tmp_path: Path, width: int, dark: bool) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright")
    write_compare_page(tmp_path / "compare.html", comparison)
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        with opened(browser, tmp_path / "compare.html", width=width, dark=dark) as (page, told):
            assert page.evaluate("window.hit") is None
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(OVERLAPS) == []
            assert faults(page) == []
            assert told == []
        browser.close()
