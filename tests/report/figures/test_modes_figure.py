"""AP against latency by mode: what is drawn where, and when there is nothing to draw."""

from dataclasses import replace

import pytest
from making_runs import make_run

from harness.report.figures.modes import build
from harness.results.run import Run

MODES = ("eager", "compiled", "onnxruntime-int8")
NAMES = {"tinydet_s": 0.30, "ssdlite320": 0.24}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("modes") / "made", detectors=NAMES, modes=MODES)


def test_a_mark_per_mode_and_a_line_per_detector(run: Run) -> None:
    drawing = build(run)
    assert drawing is not None
    lines = {t.name: t for t in drawing.plot.data if t.mode == "lines+markers"}
    assert list(lines) == list(NAMES)
    own = lines["tinydet_s"]
    assert list(own.customdata) == ["onnxruntime-int8", "compiled", "eager"]
    assert list(own.x) == pytest.approx([6, 10, 20], rel=0.02)
    # 8 bits at the AP of their own, what finds the same at the detector's
    assert list(own.y) == pytest.approx([31.1, 30.2, 30.2])
    marks = {t.name: t.marker.symbol for t in drawing.plot.data if t.mode == "markers"}
    assert [marks[mode] for mode in own.customdata] == list(own.marker.symbol)
    assert len(set(marks.values())) == len(MODES)
    assert len({line.line.color for line in lines.values()}) == len(NAMES)


def test_the_table_has_the_numbers(run: Run) -> None:
    drawing = build(run)
    assert drawing is not None
    assert drawing.table is not None
    first = drawing.table.iloc[2].tolist()
    assert first[:3] == ["tinydet_s", "onnxruntime-int8", "31.1"]
    assert len(drawing.table) == len(NAMES) * len(MODES)


def test_one_mode_is_not_drawn_and_a_failed_one_left_out(made: Run, run: Run) -> None:
    assert build(made) is None
    failed = replace(run, records=tuple(r for r in run.records if r.mode != "compiled"))
    drawing = build(failed)
    assert drawing is not None
    assert "compiled" not in {t.name for t in drawing.plot.data}
    assert build(replace(run, records=tuple(r for r in run.records if r.mode == "eager"))) is None
