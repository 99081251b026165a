"""Figures of made runs: plotly takes them, and plot and table say the same."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from making_runs import make_run

from harness.records.frame import to_frame
from harness.report.figures import figures
from harness.report.figures.drawing import log_axis, plain, rounded, spread_log, thinned
from harness.results.run import Run

ALL = [
    "ap-cost",
    "ap-small-cost",
    "ap-size",
    "cost-role",
    "latency-stage",
    "latency-ecdf",
    "ap-class",
    "precision-recall",
    "errors",
    "training",
    "loss-terms",
]  # fmt: skip
LIMIT = 600_000  # characters of all figures of five detectors and two seeds


def by_name(run: Run) -> dict[str, Any]:
    return {figure.name: figure for figure in figures(run)}


def check(run: Run) -> dict[str, Any]:
    """Each figure is JSON without NaN, valid for plotly, with a note and a table that fits."""
    made = by_name(run)
    for figure in made.values():
        json.dumps(figure.plot, allow_nan=False)
        go.Figure(data=figure.plot["data"], layout=figure.plot["layout"])
        assert figure.plot["data"]
        assert figure.note
        assert figure.title
        assert figure.table.rows
        assert {len(row) for row in figure.table.rows} == {len(figure.table.columns)}
        assert all(isinstance(cell, str) for row in figure.table.rows for cell in row)
    return made


def test_every_figure_of_a_whole_run(made: Run) -> None:
    assert list(check(made)) == ALL
    weight = sum(len(json.dumps(figure.plot)) for figure in figures(made))
    assert weight < LIMIT


def test_no_figure_carries_plotlys_template(made: Run) -> None:
    assert all("template" not in figure.plot["layout"] for figure in figures(made))


def test_one_detector_under_one_seed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", detectors={"alone": 0.3}, seeds=(0,))
    made = check(run)
    assert list(made) == ALL
    drawn = [t for t in made["ap-cost"].plot["data"] if t.get("name") == "alone"]
    assert len(drawn) == 3  # one a panel: no separate marks of a single seed


def test_an_old_run_without_analyses(tmp_path: Path) -> None:
    made = check(make_run(tmp_path / "run", analysed=False))
    assert not {"ap-size", "ap-class", "precision-recall", "errors"} & set(made)
    points = [t for t in made["ap-cost"].plot["data"] if t["mode"] == "markers"]
    assert points
    assert all("error_y" not in trace for trace in points)


def test_eighty_classes_show_the_best_and_the_worst(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", classes=[f"class {n}" for n in range(80)], images=4)
    figure = check(run)["ap-class"]
    ticks = figure.plot["layout"]["yaxis"]["ticktext"]
    assert (ticks[0], ticks[-1], len(ticks)) == ("class 79", "class 0", 24)
    assert len(figure.table.rows) == 80


def test_points_and_table_say_the_same(made: Run) -> None:
    figure = by_name(made)["ap-cost"]
    marks = [t for t in figure.plot["data"] if t["mode"] == "markers" and t["marker"]["size"] > 6]
    shown = {row[0]: row[1].split(" ")[0] for row in figure.table.rows}
    assert {t["legendgroup"] for t in marks} == set(made.detectors)
    for trace in marks:
        assert f"{trace['y'][0]:.1f}" == shown[trace["legendgroup"]]


def test_made_ap_is_drawn_as_percent(made: Run) -> None:
    traces = by_name(made)["ap-cost"].plot["data"]
    [point] = [t for t in traces if t["legendgroup"] == "tinydet_s" and t["xaxis"] == "x"
               and t["marker"].get("size") == 11]  # fmt: skip
    assert point["y"] == [30.2]  # mean of 0.300 and 0.304
    assert point["x"] == [480.0]


def test_stages_of_latency_add_up_to_the_whole(made: Run) -> None:
    figure = by_name(made)["latency-stage"]
    at = figure.table.rows[0]
    frame = made.frame
    rows = frame[(frame["detector"] == at[0]) & (frame["metric"] == "latency_end_to_end_p50")]
    assert float(at[-1]) == pytest.approx(rows["value"].mean(), abs=0.006)
    bars = [trace["x"][0] for trace in figure.plot["data"]]
    assert sum(bars) == pytest.approx(rows["value"].mean(), rel=1e-3)


def test_bins_without_objects_are_left_out_or_null(made: Run) -> None:
    figure = by_name(made)["ap-size"]
    original = [row for row in figure.table.rows if row[:2] == ("image", "tinydet_s")]
    assert original[-1][2] == "128 to 256"  # the empty bin beyond is not drawn
    [line] = [t for t in figure.plot["data"] if t["name"] == "tinydet_s" and t["xaxis"] == "x"
              and t.get("mode") == "lines+markers"]  # fmt: skip
    assert len(line["y"]) == len(original)
    assert [f"{y:.1f}" for y in line["y"]] == [row[3].split(" ")[0] for row in original]


def test_latencies_are_marked_at_median_and_p99(made: Run) -> None:
    figure = by_name(made)["latency-ecdf"]
    for row in figure.table.rows:
        [marks] = [t for t in figure.plot["data"] if t["name"] == row[0] and "marker" in t]
        assert [f"{x:.2f}" for x in marks["x"]] == pytest.approx([row[1], row[3]])
        assert marks["y"] == [50, 99]


def test_published_points_wait_in_the_legend(tmp_path: Path) -> None:
    claim = {"detector": "rival", "split": "elsewhere", "source": "a paper"}
    published = [
        {**claim, "metric": "ap", "value": 0.4, "unit": "AP"},
        {**claim, "metric": "macs_paper", "value": 1.2, "unit": "GFLOPs", "factor": 500},
        {**claim, "metric": "parameters", "value": 3.0, "unit": "of something else"},
    ]
    traces = by_name(make_run(tmp_path / "run", published=published))["ap-cost"].plot["data"]
    [point] = [t for t in traces if t.get("legendgroup") == "published"]
    assert point["visible"] == "legendonly"
    assert (point["x"], point["y"], point["text"]) == ([600.0], [40.0], ["rival"])
    assert "not measured here" in point["name"]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", classes=["<b>a</b>", "b"], images=4)
    assert "&lt;b&gt;a&lt;/b&gt;" in by_name(run)["ap-class"].plot["layout"]["yaxis"]["ticktext"]


def test_ticks_of_a_logarithmic_axis_are_whole_numbers() -> None:
    axis = log_axis([6.0, 900.0])
    assert axis["ticktext"] == ["5", "10", "20", "50", "100", "200", "500", "1,000"]
    assert len(log_axis([0.1, 1e5])["ticktext"]) <= 10


def test_untrained_detectors_are_not_drawn_against_cost(made: Run) -> None:
    spoilt = tuple(
        replace(r, weights="") if (r.detector, r.stage) == ("tinydet_l", "evaluate") else r
        for r in made.records
    )
    run = replace(made, records=spoilt, frame=to_frame(list(spoilt)))
    figure = by_name(run)["ap-cost"]
    assert "tinydet_l" not in [trace["name"] for trace in figure.plot["data"]]
    assert "tinydet_l" in figure.note


def test_small_helpers() -> None:
    assert rounded(1234.5678) == 1235.0
    assert rounded(0.00123456) == 0.001235
    assert math.isnan(rounded(math.nan))
    assert rounded(0.0) == 0.0
    assert spread_log([1.0, 9.0])
    assert not spread_log([1.0, 8.0])
    assert not spread_log([0.0, 9.0])
    kept = thinned(list(range(1000)), 300)
    assert len(kept) == 300
    assert (kept[0], kept[-1]) == (0, 999)
    assert plain("<a>&") == "&lt;a&gt;&amp;"
