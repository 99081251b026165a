"""What is marked as the best: one rule for the terminal's tables and the pages'."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from making_runs import make_run

from harness.plugin.metrics import Finding, MetricSpec
from harness.report.format import best_of
from harness.report.sections.results import find_best
from harness.report.summary import main_table
from harness.report.terminal import BEST_STYLE, Value
from harness.results.run import Run

AP = MetricSpec("a", "A", scale=100, shown_unit="%", digits=1, better="higher")
COST = MetricSpec("c", "C", "M", better="lower")


def test_the_direction_is_the_metrics() -> None:
    values = {"a": 0.25, "b": 0.5, "c": 0.125}
    assert best_of(values, AP) == "b"
    assert best_of(values, COST) == "c"
    assert best_of(values, replace(AP, better="")) is None


def test_nobody_is_best_alone_or_beside_one_that_is_shown_the_same() -> None:
    assert best_of({"a": 0.25}, AP) is None
    assert best_of({}, AP) is None
    assert best_of({"a": 0.30011, "b": 0.30049, "c": 0.2}, AP) is None
    assert best_of({"a": 0.30011, "b": 0.30049, "c": 0.2}, AP, rivals=["c"]) == "b"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run")


def marked_on_terminal(run: Run) -> dict[str, set[str]]:
    ((_, rows),) = main_table(run).groups
    return {
        metric: {
            str(cells[0])
            for cells, _ in rows
            if isinstance(value := cells[place], Value) and value.number.style == BEST_STYLE
        }
        for place, metric in enumerate(run.columns, 1)
    }


def test_terminal_and_page_mark_the_same_and_never_the_worst(run: Run) -> None:
    marked = marked_on_terminal(run)
    assert marked == {metric: {find_best(run, run.spec(metric))} for metric in run.columns}
    for metric, names in marked.items():
        values = {name: run.estimate(name, metric).value for name in run.detectors}
        worst = min if run.spec(metric).higher_is_better else max
        assert names.isdisjoint({worst(values, key=lambda name: values[name])})
        assert len(names) == 1


@pytest.mark.parametrize("spoilt", ["invalid", "absent"])
def test_what_is_invalid_or_not_there_is_never_best(run: Run, spoilt: str) -> None:
    metric = run.columns[0]
    (best,) = marked_on_terminal(run)[metric]

    def spoil(value: float) -> dict[str, object]:
        if spoilt == "absent":
            return {"value": math.nan}
        return {"value": value, "warnings": (Finding("any_code", "invalid"),)}

    records = tuple(
        replace(r, **spoil(r.value)) if (r.detector, r.metric) == (best, metric) else r
        for r in run.records
    )
    other = replace(run, records=records)
    assert marked_on_terminal(other)[metric].isdisjoint({best})
    assert find_best(other, run.spec(metric)) != best
