"""The page of a comparison made by hand."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from browser import OVERLAPS, faults, find_browser, opened

from harness.plugin.metrics import Finding
from harness.report.compare_page import render_comparison
from harness.results.comparison import Comparison, Row
from harness.results.difference import Difference
from harness.results.estimate import Estimate
from harness.results.gates import GateResult
from harness.results.protocol import Mismatch
from harness.results.run import known_metrics

HOSTILE = "<script>window.hit = 1</script>"
FEW_BOXES = Finding("few_boxes", params={"boxes": 9})


def row(
    metric: str,
    values: tuple[float, float],
    change: Difference,
    detector: str = "tinydet_s",
    best: tuple[int, ...] = (),
    reasons: tuple[Finding, ...] = (),
    level: Any = "valid",
) -> Row:
    """`reasons` and `level` are of the other side."""
    spec = known_metrics().spec(metric)
    base = Estimate(spec, values[0], seeds={0: values[0], 1: values[0]})
    other = Estimate(
        spec, values[1], seeds={0: values[1], 1: values[1]}, reasons=reasons, level=level
    )
    return Row(detector, spec, (base, other), (change,), best)


def compared(*rows: Row, **more: Any) -> Comparison:
    given = {"sides": ("base", "other"), "paths": ("a", "b"), **more}
    return Comparison(rows=rows, catalog=known_metrics(), **given)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    threads = Mismatch("threads", "1", HOSTILE)
    better = Difference("better", 0.016, 1.03, 0.005, 0.027, 0.004)
    noise = Difference("noise", 0.007, 1.03, -0.02, 0.034, 0.6)
    worse = Difference("worse", -0.07, 0.8, -0.09, -0.05, 1e-4)
    return compared(
        row("ap", (0.535, 0.551), better, best=(1,)),
        row("ap_small", (0.234, 0.241), noise),
        row("latency_end_to_end_p50", (20.1, 23.4), Difference("refused", mismatches=(threads,))),
        row("ap", (0.37, 0.3), worse, detector="tinydet_m", best=(0,)),
        row("parameters", (5.04, 5.04), Difference("equal", 0.0, 1.0, 0.0, 0.0)),
        row("throughput", (50.0, 51.0), Difference("unknown", 1.0, 1.02)),
        row("macs_paper", (974.9, math.nan), Difference("missing")),
        paths=("/runs/base", f"/runs/{HOSTILE}"),
        notes=(HOSTILE,),
        gates=(
            GateResult("ap >= -0.5", "missed", "gate ap >= -0.5: missed: by tinydet_m"),
            GateResult("ap_small >= -1", "passed", "gate ap_small >= -1: passed"),
        ),
    )


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
    assert shown["tinydet_s throughput"] == ["images/s", "50.00", "51.00", "+2.0\u00a0%"]
    assert shown["tinydet_s parameters"][:3] == ["M", "5.04", "5.04"]
    assert shown["tinydet_s MACs"] == ["MMACs", "974.9", "–", "not measured"]


def test_refused_rows_show_no_difference_and_say_why(comparison: Comparison) -> None:
    page = render_comparison(comparison)
    assert cells(page)["tinydet_s latency"][:3] == ["ms", "20.1", "23.4"]
    assert cells(page)["tinydet_s latency"][3].startswith("not comparable")
    assert "threads: 1 against &lt;script&gt;" in page


def test_only_significant_differences_are_told_in_short(comparison: Comparison) -> None:
    page = render_comparison(comparison)
    short = page[page.index('id="summary"') : page.index('id="gates"')]
    assert re.findall(r'<li class="(\w+)">', short) == ["better", "worse"]
    assert "tinydet_s AP +1.6 points" in short
    assert "1 not significantly different" in short


def test_a_doubtful_value_is_marked_and_its_reason_is_in_the_notes() -> None:
    change = Difference("better", 0.1, 1.2, 0.08, 0.12, 0.01)
    doubted = row(
        "ap", (0.5, 0.6), change, best=(1,), reasons=(FEW_BOXES,), level="doubtful"
    )  # fmt: skip
    page = render_comparison(compared(doubted))
    assert page.count('title="doubtful: objects: only 9"') == 1
    assert "tinydet_s AP +10.0 points, in doubt" in page
    assert "objects: only 9" in page[page.index('id="notes"') :]


def test_an_invalid_value_is_neither_best_nor_different() -> None:
    untrained = Finding("untrained", "invalid")
    invalid = row(
        "ap", (0.5, 0.9), Difference("invalid", reasons=(untrained,)), reasons=(untrained,),
        level="invalid",
    )  # fmt: skip
    page = render_comparison(compared(invalid))
    assert cells(page)["tinydet_s AP"][:3] == ["%", "50.0", "90.0"]
    assert "Nothing is significantly better or worse" in page
    assert "(best)" not in page


def test_detectors_without_a_counterpart_are_in_the_notes_only(comparison: Comparison) -> None:
    lone = compared(*comparison.rows, lone=(("tinydet_m", ("base",)),))
    page = render_comparison(lone)
    assert "tinydet_m AP" not in cells(page)
    assert "only in base: tinydet_m" in page


def test_many_differing_conditions_are_told_in_the_notes() -> None:
    names = ("images", "evaluator", "area")
    refused = Difference("refused", mismatches=tuple(Mismatch(n, "1", "2") for n in names))
    page = render_comparison(compared(row("ap", (0.5, 0.6), refused)))
    assert page.count("measured with different images, evaluator and 1 more") == 1
    assert page.count("images: 1 against 2; evaluator: 1 against 2; area: 1 against 2") == 1


def test_gates_carry_their_verdict(comparison: Comparison) -> None:
    page = render_comparison(comparison)
    assert re.findall(r'class="gain (\w+)">(missed|passed)<', page) == [
        ("worse", "missed"),
        ("better", "passed"),
    ]


def test_sections_without_content_are_left_out(comparison: Comparison) -> None:
    bare = compared(*comparison.rows[:2])
    page = render_comparison(bare)
    assert 'id="gates"' not in page
    assert 'href="#notes"' not in page


@pytest.mark.slow
@pytest.mark.skipif(find_browser() is None, reason="no chromium")
@pytest.mark.parametrize("width", [400, 1000])
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser(comparison: Comparison, tmp_path: Path, width: int, dark: bool) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright")
    path = tmp_path / "compare.html"
    path.write_text(render_comparison(comparison), encoding="utf-8")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        with opened(browser, path, width=width, dark=dark) as (page, told):
            assert page.evaluate("window.hit") is None
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(OVERLAPS) == []
            assert faults(page) == []
            assert told == []
        browser.close()
