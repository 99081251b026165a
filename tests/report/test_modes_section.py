"""The section of inference modes: what stands in it, what in no other, and when it is there."""

import re
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from browser import OVERLAPS, faults, find_browser, opened
from making_runs import make_run
from rich.console import Console
from test_page import text_of

from harness.records.frame import to_frame
from harness.records.record import Record
from harness.report.page import render_page
from harness.report.sections.modes import ModeRow, compare_modes
from harness.report.summary import print_summary
from harness.results.run import Run

MODES = ("eager", "eager-bfloat16", "fused", "fused-bfloat16", "compiled")
NAMES = {"tinydet_s": 0.30, "ssdlite320": 0.24}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two detectors in five modes, one of which fails."""
    return make_run(tmp_path_factory.mktemp("modes") / "made", detectors=NAMES, modes=MODES)


def rows_of(run: Run, detector: str = "tinydet_s") -> dict[str, ModeRow]:
    modes = compare_modes(run)
    assert modes is not None
    return {row.mode: row for row in dict(modes.rows)[detector]}


def changed(run: Run, change: object) -> Run:
    """With `change(record)` in place of each record, None for none."""
    made = tuple(r for r in map(change, run.records) if r is not None)  # type: ignore[arg-type, call-overload]
    return replace(run, records=made, frame=to_frame(list(made)))


def test_one_mode_has_no_section(made: Run) -> None:
    assert compare_modes(made) is None
    page = render_page(made)
    assert 'id="modes"' not in page
    assert 'href="#modes"' not in page


def test_a_row_says_times_ratio_agreement_and_costs(run: Run) -> None:
    rows = rows_of(run)
    assert list(rows) == list(MODES)
    compiled = rows["compiled"]
    assert [float(median) for median, _ in compiled.times] == pytest.approx([8, 9, 10], abs=0.2)
    assert all(float(tail) > float(median) for median, tail in compiled.times)
    assert (compiled.ratio.shown, compiled.ratio.sign) == ("0.50", "better")
    assert re.fullmatch(r"\[0\.\d\d, 0\.\d\d\]", compiled.ratio.interval)
    assert (compiled.agreement, compiled.ap, compiled.ap_eager) == ("0.998", "31.1", "31.2")
    assert (compiled.breaks, compiled.memory, compiled.setup) == ("2", "512", "8.1")
    assert (compiled.compiling, rows["fused"].compiling) == ("7.2", "–")
    assert rows["eager-bfloat16"].precision == "bfloat16"
    assert rows["eager-bfloat16"].ratio.sign == "worse"
    assert rows["fused"].ratio.sign == "noise"
    assert rows["fused"].breaks == ""
    assert (rows["eager"].ratio.shown, rows["eager"].agreement) == ("–", "–")


def test_a_failure_is_told_in_words_where_its_numbers_would_stand(run: Run) -> None:
    row = rows_of(run)["fused-bfloat16"]
    assert row.has_failed
    page = render_page(run)
    section = page[page.index('<section id="modes"') :].partition("</section>")[0]
    assert section.count("failed</strong> does not find what eager finds") == len(NAMES)
    assert "tinydet_s seed 0, latency fused-bfloat16 failed: does not find" in text_of(page)


def test_no_other_number_is_touched_by_further_modes(run: Run, tmp_path: Path) -> None:
    alone = make_run(tmp_path / "alone", detectors=NAMES)
    tables = [
        page[
            page.index('<section id="results"') : page.index(
                "</section>", page.index('id="results"')
            )
        ]
        for page in (render_page(run), render_page(alone))
    ]
    assert tables[0] == tables[1]
    assert "All other tables show eager." in text_of(render_page(run))


def test_a_mode_shown_elsewhere_is_told(run: Run) -> None:
    """Where the plan's first mode was another one than eager."""

    def swap(record: Record) -> Record:
        scopes = {"eager": "mode/eager", "fused": ""}
        return replace(record, scope=scopes.get(record.mode, record.scope))

    other = compare_modes(changed(run, swap))
    assert other is not None
    assert other.elsewhere == ("fused",)
    assert rows_of(changed(run, swap))["compiled"].ratio.shown == "0.50"


def test_without_eager_there_is_no_ratio(run: Run) -> None:
    rows = rows_of(changed(run, lambda r: None if r.mode == "eager" else r))
    assert {row.ratio.sign for row in rows.values()} == {""}
    assert "eager" not in rows


def test_what_was_not_measured_alike_is_not_compared(run: Run) -> None:
    def elsewhere(record: Record) -> Record:
        if record.mode != "compiled":
            return record
        return replace(record, conditions={**record.conditions, "threads": 7})

    row = rows_of(changed(run, elsewhere))["compiled"]
    assert (row.ratio.shown, row.ratio.sign) == ("–", "")
    assert row.ratio.words == "not measured alike (threads: 1 against 7)"


def test_doubts_are_told_once_with_all_they_are_of(run: Run) -> None:
    def warn(record: Record) -> Record:
        busy = record.mode in ("compiled", "fused") and record.metric.startswith("latency")
        return replace(record, warnings=("other work used the CPU",)) if busy else record

    warned = changed(run, warn)
    modes = compare_modes(warned)
    assert modes is not None
    who = "tinydet_s fused, tinydet_s compiled, ssdlite320 fused, ssdlite320 compiled"
    assert modes.doubts == (("other work used the CPU", who),)
    # and the detectors' own latency stays without
    assert "other work used the CPU" not in print_of(warned, 120)


def test_old_records_without_a_mode_are_eager(made: Run) -> None:
    assert compare_modes(changed(made, lambda r: replace(r, mode=""))) is None


def print_of(run: Run, width: int) -> str:
    out = StringIO()
    print_summary(run, Console(file=out, width=width, color_system=None))
    return out.getvalue()


@pytest.mark.parametrize(("width", "precision"), [(70, False), (120, True)])
def test_the_terminal_shows_a_table_that_fits(run: Run, width: int, precision: bool) -> None:
    text = print_of(run, width).partition("inference modes")[2].partition("AP: COCO")[0]
    assert ("precision" in text) is precision
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    lines = [line.split() for line in text.splitlines()]
    assert any({"compiled", "10.0", "▲", "0.50", "0.998"} <= set(words) for words in lines)
    assert any({"fused-bfloat16", "failed"} <= set(words) for words in lines)


def test_the_terminal_says_nothing_of_modes_where_there_is_one(made: Run) -> None:
    assert "inference modes" not in print_of(made, 120)


sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright")


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    if find_browser() is None:
        pytest.skip("no chromium")
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1000, False), (1600, True)])
def test_it_fits_overlaps_nothing_and_is_accessible(
    browser: "sync_api.Browser", run: Run, tmp_path: Path, width: int, dark: bool
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(run), encoding="utf-8")
    with opened(browser, path, width=width, dark=dark) as (page, complaints):
        assert page.locator("#modes tbody tr").count() == len(NAMES) * (1 + len(MODES))
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(OVERLAPS) == []
        assert faults(page) == []
        assert complaints == []
