"""The section of inference modes: what it alone shows, and when it appears."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from browser import OVERLAPS, faults, opened
from making_analyses import make_analysis
from making_runs import make_run
from page_text import text_of
from quick_page import quick_page
from rich.console import Console

from harness.plugin.metrics import Finding
from harness.records.record import Record
from harness.report.figures import modes as figure
from harness.report.mode_rows import (
    ModeRow,
    main_time,
    mode_rows,
    mode_warnings,
    quantized_rows,
    quantized_scores,
)
from harness.report.page import render_page
from harness.report.sections import modes as section
from harness.report.summary import print_summary
from harness.results.ap.types import CellAnalysis
from harness.results.run import Run

MODES = ("eager", "eager-bfloat16", "fused", "fused-bfloat16", "compiled")
EIGHT = "onnxruntime-int8"
NAMES = {"tinydet_s": 0.30, "ssdlite320": 0.24}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two detectors in five modes, one of which fails."""
    return make_run(tmp_path_factory.mktemp("modes") / "made", detectors=NAMES, modes=MODES)


def rows_of(run: Run, detector: str = "tinydet_s") -> dict[str, ModeRow]:
    return {row.mode: row for row in mode_rows(run) if row.detector == detector}


def changed(run: Run, change: Callable[[Record], Record | None]) -> Run:
    """With `change(record)` in place of each record, None for none."""
    return replace(run, records=tuple(r for r in map(change, run.records) if r is not None))


def cells_of(run: Run, mode: str) -> list[str]:
    """Texts of the row of a mode in the section, of the first detector."""
    page = str(section.build(run))
    row = re.search(rf'<tr><th scope="row">{mode}<.*?</tr>', page, re.S)
    assert row is not None
    return [text_of(cell) for cell in re.findall(r"<td\b.*?</td>", row[0], re.S)]


def test_one_mode_has_no_section(made: Run) -> None:
    assert mode_rows(made) == []
    page = quick_page(made)
    assert 'id="modes"' not in page
    assert 'href="#modes"' not in page


def test_a_row_says_times_difference_agreement_and_costs(run: Run) -> None:
    rows = rows_of(run)
    assert list(rows) == list(MODES)
    cells = cells_of(run, "compiled")
    assert cells[0].startswith("10.0"), "the main time comes first"
    # half of eager's time
    assert re.match(r"▲ −50\.\d % significantly better.*\[−\d\d\.\d, −\d\d\.\d\]", cells[1])
    assert any(cell.startswith("8.0 ") for cell in cells)
    assert any(cell == "31.1 eager 31.2" for cell in cells)
    assert {"0.998", "512", "8.1", "7.2", "2"} <= set(cells)
    assert rows["eager-bfloat16"].precision == "bfloat16"
    found = {mode: row.difference for mode, row in rows.items()}
    assert found["eager"] is None
    verdicts = {mode: one.verdict for mode, one in found.items() if one}
    assert verdicts == {
        "eager-bfloat16": "worse", "fused": "noise", "fused-bfloat16": "missing",
        "compiled": "better",
    }  # fmt: skip


def test_a_failure_is_told_in_words_where_its_numbers_would_be(run: Run) -> None:
    assert rows_of(run)["fused-bfloat16"].has_failed
    page = quick_page(run)
    shown = page[page.index('<section id="modes"') :].partition("</section>")[0]
    assert shown.count("failed</strong> does not find what eager finds") == len(NAMES)
    assert "tinydet_s seed 0, latency fused-bfloat16 failed: does not find" in text_of(page)


def test_the_answer_is_not_touched_by_further_modes(run: Run, tmp_path: Path) -> None:
    alone = make_run(tmp_path / "alone", detectors=NAMES)
    both = (run, alone)
    answers = [
        re.search(r'<ul class="questions">.*?</ul>', quick_page(one), re.S)[0]  # type: ignore[index]
        for one in both
    ]
    assert answers[0] == answers[1]
    for name in NAMES:
        for metric in run.columns:
            one, two = (r.estimate(name, metric) for r in both)
            assert (one.value, one.low, one.high) == (two.value, two.low, two.high)
    assert "All other tables show eager." in text_of(quick_page(run))


def test_a_mode_shown_elsewhere_is_told(run: Run) -> None:
    """Where the plan's first mode was another one than eager."""

    def swap(record: Record) -> Record:
        scopes = {"eager": "mode/eager", "fused": ""}
        return replace(record, scope=scopes.get(record.mode, record.scope))

    swapped = changed(run, swap)
    assert "All other tables show fused." in text_of(str(section.build(swapped)))
    found = rows_of(swapped)["compiled"].difference
    assert found is not None
    assert found.ratio == pytest.approx(0.5, abs=0.01)


def test_without_eager_there_is_no_difference(run: Run) -> None:
    rows = rows_of(changed(run, lambda r: None if r.mode == "eager" else r))
    assert {row.difference for row in rows.values()} == {None}
    assert "eager" not in rows


def test_what_was_not_measured_alike_is_not_compared(run: Run) -> None:
    def elsewhere(record: Record) -> Record:
        if record.mode != "compiled":
            return record
        return replace(record, conditions={**record.conditions, "threads": 7})

    found = rows_of(changed(run, elsewhere))["compiled"].difference
    assert found is not None
    assert (found.verdict, [str(m) for m in found.mismatches]) == (
        "refused",
        ["threads: 1 against 7"],
    )


def test_warnings_are_told_once_with_all_they_are_of(run: Run) -> None:
    main = main_time(run)
    assert main is not None

    def warn(record: Record) -> Record:
        busy = record.mode in ("compiled", "fused") and record.metric == main.name
        told = (Finding("busy_cpu", params={"cores": 1.2, "of": 2}),)
        return replace(record, warnings=told) if busy else record

    warned = changed(run, warn)
    [found] = [w for w in mode_warnings(warned, mode_rows(warned)) if "CPU" in w.text]
    assert found.text == "other work used 1.2 of 2 CPU cores"
    assert found.of == (
        f"{main.title} of tinydet_s fused, tinydet_s compiled, ssdlite320 fused and "
        "ssdlite320 compiled"
    )


def quantized(run: Run, drop: float, noise: float = 0.01, seeds: tuple[int, ...] = (0, 1)) -> Run:
    """With what an 8-bit mode of tinydet_s found; seeds lie 0.004 apart."""

    def analysis(seed: int, ap: float, own: int) -> CellAnalysis:
        ids = run.truth.image_ids  # type: ignore[union-attr]
        return make_analysis(ap + 0.004 * seed, ("a",), ids, seed=100 * seed + own, noise=noise)

    kept = {("tinydet_s", seed, EIGHT): analysis(seed, 0.30 - drop, 7) for seed in seeds}
    plain = {("tinydet_s", seed): analysis(seed, 0.30, 0) for seed in (0, 1)}
    return replace(run, analyses={**run.analyses, **plain}, mode_analyses=kept)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("eight") / "made"
    return make_run(folder, detectors=NAMES, modes=("eager", EIGHT))


def test_a_size_that_no_object_has_is_no_column_of_8_bits(eight: Run) -> None:
    def without(record: Record) -> Record:
        return replace(record, value=math.nan) if record.metric == "ap_small" else record

    names = [
        {spec.name for spec in quantized_scores(one)} for one in (eight, changed(eight, without))
    ]
    assert names[0] - names[1] == {"ap_small"}
    assert "ap" in names[1]


def test_what_8_bits_change_is_told_by_size_with_paired_intervals(eight: Run) -> None:
    run = quantized(eight, drop=0.03)
    [row] = quantized_rows(run, mode_rows(run))
    assert (row.detector, row.mode) == ("tinydet_s", EIGHT)
    assert list(row.changes) == ["ap", "ap_small"]
    _, whole = row.changes["ap"]
    assert whole.value == pytest.approx(-0.03, abs=1e-9)
    assert whole.verdict == "worse"
    assert whole.low < -0.031 < -0.029 < whole.high < 0
    assert row.changes["ap_small"][1].value == pytest.approx(-0.015, abs=1e-9)
    page = text_of(str(section.build(run)))
    assert re.search(r"tinydet_s onnxruntime-int8 ▼ −3\.0 \[−\d\.\d, −\d\.\d\]", page)
    out = StringIO()
    print_summary(run, Console(file=out, width=120, color_system=None))
    assert re.search(r"8 bits minus float.*\bpoints\b.*−3\.0 +\[", out.getvalue(), re.S)


def test_the_figure_draws_8_bits_at_the_score_that_has_an_interval(eight: Run) -> None:
    run = quantized(eight, drop=0.03)
    drawing = figure.build(run)
    assert drawing is not None
    [line] = [t for t in drawing.plot.data if t.name == "tinydet_s" and t.mode == "lines+markers"]
    n = list(line.customdata).index(EIGHT)
    found = run.estimate_quantized("tinydet_s", EIGHT, "ap")
    assert line.y[n] == pytest.approx(100 * found.value)
    assert line.error_y.array[n] == pytest.approx(100 * (found.high - found.value), abs=1e-3)
    assert line.error_y.array[n] > 0


def test_the_spread_over_seeds_is_no_noise_of_what_8_bits_change(eight: Run) -> None:
    """Both sides have the same weights: ranges of seeds that overlap say nothing."""
    found = quantized(eight, 0.002, noise=1e-4).difference_quantized("tinydet_s", EIGHT, "ap")
    assert (found.verdict, found.reasons) == ("worse", ())
    assert quantized(eight, 0.0).difference_quantized("tinydet_s", EIGHT, "ap").verdict == "noise"


def test_8_bits_of_some_seeds_alone_are_not_compared(eight: Run) -> None:
    some = quantized(eight, 0.03, seeds=(1,))
    assert some.difference_quantized("tinydet_s", EIGHT, "ap").verdict == "missing"
    assert quantized_rows(eight, mode_rows(eight)) == []
    assert "What 8 bits change" not in str(section.build(eight))


def test_the_terminal_says_nothing_of_modes_where_there_is_one(made: Run) -> None:
    out = StringIO()
    print_summary(made, Console(file=out, width=120, color_system=None))
    assert "inference modes" not in out.getvalue()


sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright")


@pytest.fixture(scope="module")
def written(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_page(run), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(400, True), (1000, False), (1600, True)])
def test_it_fits_overlaps_nothing_and_is_accessible(
    browser: "sync_api.Browser", written: Path, width: int, dark: bool
) -> None:
    with opened(browser, written, width=width, dark=dark) as (page, complaints):
        assert page.locator("#modes tbody tr").count() == len(NAMES) * (1 + len(MODES))
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(OVERLAPS) == []
        assert faults(page) == []
        assert complaints == []
