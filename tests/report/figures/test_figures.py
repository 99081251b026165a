"""Figures of made runs: plotly takes them, and plot and table say the same."""

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from making_runs import make_run, record_of

from harness.plugin.catalog import Catalog
from harness.plugin.metrics import MetricSpec
from harness.report.figure import (
    Drawing,
    log_axis,
    panels,
    place,
    plain,
    rounded,
    styles,
    thinned,
    to_json,
)
from harness.report.figures import FIGURES
from harness.results.ap.paired import over_seeds
from harness.results.run import Run, known_metrics

ALL = [
    "AP against cost",
    "AP-small against cost",
    "AP over object size",
    "Cost by part",
    "Time by stage",
    "Time of each repetition",
    "AP by class",
    "Precision and recall",
    "Kinds of errors",
    "Training",
    "Loss terms",
]
LIMIT = 600_000  # characters of all figures of five detectors and two seeds
PLUGIN_SCORE = MetricSpec(
    "recall_of_cells", "cells found", scale=100.0, shown_unit="%", digits=1, better="higher",
    kind="score", role="score", question="Finds most cells",
)  # fmt: skip
PLUGIN_COST = MetricSpec(
    "energy", unit="mJ", better="lower", role="cost", question="Least energy"
)  # fmt: skip


def drawings(run: Run) -> dict[str, Drawing]:
    """Title -> drawing of every figure that has something to show, in the order of the page."""
    found: dict[str, Drawing] = {}
    for figure in sorted(FIGURES, key=lambda figure: figure.order):
        made = figure.load()(run)
        for one in made if isinstance(made, list) else [made]:
            if one is not None:
                title = one.title or figure.title
                assert title not in found
                found[title] = one
    return found


def plot_of(drawing: Drawing) -> dict[str, Any]:
    return dict(to_json(drawing.plot))


def check(run: Run) -> dict[str, Drawing]:
    """Each figure is JSON without NaN, valid for plotly, with a note and a table of text."""
    made = drawings(run)
    for drawing in made.values():
        plot = plot_of(drawing)
        json.dumps(plot, allow_nan=False)
        go.Figure(data=plot["data"], layout=plot["layout"])
        assert plot["data"]
        assert drawing.note
        assert drawing.table is not None
        assert len(drawing.table)
        assert all(isinstance(cell, str) for row in drawing.table.to_numpy() for cell in row)
    return made


def rows(drawing: Drawing) -> list[list[str]]:
    assert drawing.table is not None
    return drawing.table.to_numpy().tolist()


def test_every_figure_of_a_whole_run(made: Run) -> None:
    found = check(made)
    assert list(found) == ALL
    assert sum(len(json.dumps(plot_of(drawing))) for drawing in found.values()) < LIMIT


def test_figures_have_names_of_their_own_and_builders() -> None:
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)
    assert all(callable(figure.load()) for figure in FIGURES)
    assert all(figure.title and figure.summary for figure in FIGURES)


def test_declarations_import_no_plotly() -> None:
    code = "import sys, harness.report.figures as f; print(len(f.FIGURES), 'plotly' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(len(FIGURES)), "False"]


def test_no_figure_carries_plotlys_template(made: Run) -> None:
    assert all("template" not in plot_of(d)["layout"] for d in drawings(made).values())


def test_legends_name_each_trace_once(made: Run) -> None:
    for title, drawing in drawings(made).items():
        shown = Counter(t["name"] for t in plot_of(drawing)["data"] if t.get("showlegend"))
        assert shown, title
        assert set(shown.values()) == {1}, title


def test_one_detector_under_one_seed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", detectors={"alone": 0.3}, seeds=(0,))
    found = check(run)
    assert list(found) == ALL
    points = [t for t in plot_of(found["AP against cost"])["data"] if t.get("name") == "alone"]
    assert len(points) == 3  # one a panel: no separate marks of a single seed
    assert not [title for title, drawing in found.items() if "seed" in drawing.note]


def test_several_seeds_are_told(made: Run) -> None:
    silent = [title for title, drawing in drawings(made).items() if "seed" not in drawing.note]
    assert silent == []


def test_a_run_without_analyses(tmp_path: Path) -> None:
    found = check(make_run(tmp_path / "run", analysed=False))
    assert not {"AP over object size", "Precision and recall", "Kinds of errors"} & set(found)
    for title in ("AP against cost", "AP by class"):
        points = [t for t in plot_of(found[title])["data"] if t["mode"] == "markers"]
        assert points
        assert all("error_y" not in trace for trace in points)
    assert all("error_x" not in t for t in plot_of(found["AP by class"])["data"])


def test_eighty_classes_show_the_best_and_the_worst(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", classes=[f"class {n}" for n in range(80)], images=4)
    drawing = check(run)["AP by class"]
    ticks = plot_of(drawing)["layout"]["yaxis"]["ticktext"]
    assert (ticks[0], ticks[-1], len(ticks)) == ("class 79", "class 0", 24)
    assert len(rows(drawing)) == 80


def test_points_and_table_say_the_same(made: Run) -> None:
    drawing = drawings(made)["AP against cost"]
    data = plot_of(drawing)["data"]
    marks = [t for t in data if t["mode"] == "markers" and t["marker"]["size"] > 6]
    shown = {row[0]: row[1].split(" ")[0] for row in rows(drawing)}
    assert {t["legendgroup"] for t in marks} == set(made.detectors)
    for trace in marks:
        assert f"{trace['y'][0]:.1f}" == shown[trace["legendgroup"]]


def test_scores_and_costs_are_drawn_as_shown_with_their_units(made: Run) -> None:
    plot = plot_of(drawings(made)["AP against cost"])
    axes = {plot["layout"][f"xaxis{n}"]["title"]["text"]: f"x{n}" for n in ("", "2", "3")}
    assert set(axes) == {"latency (ms)", "MACs (MMACs)", "parameters (M)"}
    counted = [t for t in plot["data"] if t["xaxis"] == axes["MACs (MMACs)"]]
    [point] = [t for t in counted if t["legendgroup"] == "tinydet_s"
               and t["marker"].get("size") == 11]  # fmt: skip
    assert point["y"] == [30.2]  # mean of 0.300 and 0.304
    assert point["x"] == [480.0]
    assert point["hovertemplate"] == "%{y:,.1f} % at %{x:,.1f} MMACs"
    assert plot["layout"]["yaxis"]["title"]["text"] == "AP (%)"
    assert plot["layout"]["yaxis"]["rangemode"] == "nonnegative", (
        "else 0 alone is drawn between -1 and 1"
    )


def test_a_plugins_score_and_cost_have_their_panels(tmp_path: Path) -> None:
    catalog = known_metrics().joined(Catalog.of([PLUGIN_SCORE, PLUGIN_COST]))
    more = [
        record_of(name, metric, value, unit=unit, seed=seed, stage=stage)
        for name, share in (("tinydet_s", 0.5), ("tinydet_m", 0.6))
        for seed in (0, 1)
        for metric, value, unit, stage in (
            ("recall_of_cells", share, "", "evaluate"), ("energy", 100 * share, "mJ", "latency"),
        )
    ]  # fmt: skip
    found = check(make_run(tmp_path / "run", catalog=catalog, more=more))
    plot = plot_of(found["cells found against cost"])
    titles = {axis["title"]["text"]: name for name, axis in plot["layout"].items()
              if name.startswith("xaxis")}  # fmt: skip
    assert "energy (mJ)" in titles
    assert len(titles) == 4
    panel = titles["energy (mJ)"].replace("axis", "")
    points = {t["legendgroup"]: (t["x"], t["y"]) for t in plot["data"]
              if t["xaxis"] == panel and t.get("marker", {}).get("size") == 11}  # fmt: skip
    assert points == {"tinydet_s": ([50.0], [50.0]), "tinydet_m": ([60.0], [60.0])}
    ap = plot_of(found["AP against cost"])["layout"]
    assert "energy (mJ)" in [axis["title"]["text"] for name, axis in ap.items()
                             if name.startswith("xaxis")]  # fmt: skip


def test_costs_of_parts_are_stacked_for_every_count_with_roles(made: Run) -> None:
    drawing = drawings(made)["Cost by part"]
    assert {row[1] for row in rows(drawing)} == {"MACs (MMACs)", "parameters (M)"}
    [row] = [row for row in rows(drawing) if row[:2] == ["tinydet_s", "MACs (MMACs)"]]
    assert row[2:] == ["288.0", "96.0", "24.0", "72.0", "480.0"]


def test_stages_add_up_to_the_whole_time(made: Run) -> None:
    drawing = drawings(made)["Time by stage"]
    [whole] = [spec for spec in made.ranked("cost") if spec.kind == "time"]
    bars = plot_of(drawing)["data"]
    names = ["network p50", "rest of network + NMS p50", "rest of latency"]
    assert [bar["name"] for bar in bars] == names
    for i, name in enumerate(made.detectors):
        value = made.estimate(name, whole.name).value
        assert sum(bar["x"][i] for bar in bars) == pytest.approx(value, rel=1e-3)
        assert rows(drawing)[i][-1] == f"{value:.1f}"


def test_a_time_under_other_conditions_is_not_part_of_the_whole(tmp_path: Path) -> None:
    other = MetricSpec("decoding", unit="ms", better="lower", kind="time", interval="samples",
                       percent=50.0, protocol=("device",))  # fmt: skip
    catalog = known_metrics().joined(Catalog.of([other]))
    more = [
        record_of(name, "decoding", 3.0, unit="ms", seed=seed, samples=(3.0,) * 60)
        for name in ("tinydet_s", "tinydet_m") for seed in (0, 1)
    ]  # fmt: skip
    run = make_run(tmp_path / "run", catalog=catalog, more=more)
    assert "decoding" not in str(plot_of(drawings(run)["Time by stage"])["data"])


def test_bins_without_objects_are_left_out(made: Run) -> None:
    drawing = drawings(made)["AP over object size"]
    original = [row for row in rows(drawing) if row[:2] == ["image", "tinydet_s"]]
    assert original[-1][2] == "128 to 256"  # the empty bin beyond is not drawn
    [line] = [t for t in plot_of(drawing)["data"] if t["name"] == "tinydet_s" and t["xaxis"] == "x"
              and t.get("mode") == "lines+markers"]  # fmt: skip
    assert len(line["y"]) == len(original)
    assert [f"{y:.1f}" for y in line["y"]] == [row[3].split(" ")[0] for row in original]


def test_the_band_over_sizes_is_the_interval_of_the_mean_over_seeds(made: Run) -> None:
    data = plot_of(drawings(made)["AP over object size"])["data"]
    [band] = [t for t in data if t["name"] == "tinydet_m" and t["xaxis"] == "x" and "fill" in t]
    middle = len(band["y"]) // 2
    seeds = [cell.curves["original"] for cell in made.analyses_of("tinydet_m")]
    for i in range(middle):
        both = [bins[i].ap for bins in seeds]
        low, high = over_seeds(both).interval
        assert band["y"][i] == rounded(100 * high)
        assert band["y"][-1 - i] == rounded(100 * low)
        # and so it is not the mean of the seeds' own bounds
        assert high != pytest.approx(sum(one.high for one in both) / len(both), rel=1e-6)


def test_bars_of_scores_are_the_intervals_of_the_table(made: Run) -> None:
    data = plot_of(drawings(made)["AP against cost"])["data"]
    found = made.estimate("tinydet_s", "ap")
    [point] = [t for t in data if t["legendgroup"] == "tinydet_s" and t["xaxis"] == "x"
               and t["marker"].get("size") == 11]  # fmt: skip
    assert point["error_y"]["array"] == [rounded(100 * (found.high - found.value))]
    assert point["error_y"]["arrayminus"] == [rounded(100 * (found.value - found.low))]


def test_repetitions_are_marked_at_median_and_p99(made: Run) -> None:
    drawing = drawings(made)["Time of each repetition"]
    for row in rows(drawing):
        [marks] = [t for t in plot_of(drawing)["data"] if t["name"] == row[0] and "marker" in t]
        assert [f"{x:.1f}" for x in marks["x"]] == [row[1], row[3]]
        assert marks["y"] == [50, 99]


def test_published_points_wait_in_the_legend(tmp_path: Path) -> None:
    claim = {"detector": "rival", "split": "elsewhere", "source": "a paper"}
    published = [
        {**claim, "metric": "ap", "value": 0.4, "unit": "AP"},
        {**claim, "metric": "macs_paper", "value": 1.2, "unit": "GFLOPs", "factor": 500},
        {**claim, "metric": "parameters", "value": 3.0, "unit": "of something else"},
    ]
    drawing = drawings(make_run(tmp_path / "run", published=published))["AP against cost"]
    [point] = [t for t in plot_of(drawing)["data"] if t.get("legendgroup") == "published"]
    assert point["visible"] == "legendonly"
    assert (point["x"], point["y"], point["text"]) == ([600.0], [40.0], ["rival"])
    assert "not measured here" in point["name"]
    assert "were not measured here" in drawing.note


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", classes=["<b>a</b>", "b"], images=4)
    axis = plot_of(drawings(run)["AP by class"])["layout"]["yaxis"]
    assert "&lt;b&gt;a&lt;/b&gt;" in axis["ticktext"]


def test_untrained_detectors_are_not_drawn_against_cost(made: Run) -> None:
    spoilt = tuple(
        replace(r, weights="") if (r.detector, r.stage) == ("tinydet_l", "evaluate") else r
        for r in made.records
    )
    drawing = drawings(replace(made, records=spoilt))["AP against cost"]
    assert "tinydet_l" not in [trace["name"] for trace in plot_of(drawing)["data"]]
    assert "Not drawn where a number is invalid: tinydet_l." in drawing.note


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (7, 3)])
@pytest.mark.parametrize("rows", [(1.0,), (0.7, 0.3)])
def test_panels_stack_where_the_page_is_narrow(
    count: int, columns: int, rows: Sequence[float]
) -> None:
    figure = panels(count, height=300, rows=rows)
    for number in range(count):
        for part in range(len(rows)):
            trace = go.Scatter(x=[0], y=[0], name=f"{number} {part}")
            figure.add_trace(trace, **place(figure, number, part))
    plot = to_json(figure)
    narrow, wide = plot["layout"]["meta"]["narrow"], plot["layout"]
    assert narrow["height"] - wide["height"] == 300 * (count - math.ceil(count / columns))
    assert len([key for key in wide if key.startswith("xaxis")]) == count * len(rows)
    assert len({tuple(axis["domain"]) for k, axis in wide.items() if k.startswith("xaxis")}) == (
        columns
    )
    # below one another, in the order of the panels, each as wide as the page
    bottoms = []
    for trace in plot["data"]:
        x, y = (narrow[trace[a].replace(a[0], f"{a[0]}axis")] for a in ("xaxis", "yaxis"))
        assert x["domain"] == [0.0, 1.0]
        bottoms.append(y["domain"])
    assert all(upper[0] > lower[1] for upper, lower in pairwise(bottoms))
    assert bottoms[0][1] == pytest.approx(1)
    assert bottoms[-1][0] == pytest.approx(0)


def test_ticks_of_a_logarithmic_axis_are_whole_numbers() -> None:
    axis = log_axis([6.0, 900.0])
    assert axis["ticktext"] == ["5", "10", "20", "50", "100", "200", "500", "1,000"]
    assert len(log_axis([0.1, 1e5])["ticktext"]) <= 10
    assert log_axis([1.0, 9.0])["type"] == "log"
    assert "type" not in log_axis([1.0, 8.0])
    assert "type" not in log_axis([0.0, 9.0])


def test_styles_of_many_detectors_differ_without_colour() -> None:
    found = styles([f"d{n}" for n in range(36)]).values()
    assert len({(style.color, style.symbol) for style in found}) == 36
    assert len({(style.color, style.dash) for style in found}) == 36


def test_small_helpers() -> None:
    assert rounded(1234.5678) == 1235.0
    assert rounded(0.00123456) == 0.001235
    assert math.isnan(rounded(math.nan))
    assert rounded(0.0) == 0.0
    kept = thinned(list(range(1000)), 300)
    assert len(kept) == 300
    assert (kept[0], kept[-1]) == (0, 999)
    assert plain("<a>&") == "&lt;a&gt;&amp;"
