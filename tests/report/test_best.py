"""What is marked as the best: one rule for the terminal's tables and the pages'."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from making_runs import make_run

from harness.report.best import best_of
from harness.report.cells import Column
from harness.report.sections.main_table import lay_out_table
from harness.report.sections.measured import Board, make_board
from harness.report.table import results_table

AP = Column("ap", "AP", "%", 100.0, 1, True)
COST = Column("parameters", "parameters", "M", 1.0, 2, False)
METRICS = ("ap", "parameters")


def test_the_direction_is_the_metrics() -> None:
    values = {"a": 0.25, "b": 0.5, "c": 0.125}
    assert best_of(values, AP) == "b"
    assert best_of(values, COST) == "c"
    assert best_of(values, replace(AP, higher_is_better=None)) is None


def test_nobody_is_best_alone_or_beside_one_that_is_shown_the_same() -> None:
    assert best_of({"a": 0.25}, AP) is None
    assert best_of({}, AP) is None
    assert best_of({"a": 0.30011, "b": 0.30049, "c": 0.2}, AP) is None
    assert best_of({"a": 0.30011, "b": 0.30049, "c": 0.2}, AP, rivals=["c"]) == "b"


def marked_on_page(board: Board) -> dict[str, set[str]]:
    table = lay_out_table(board, METRICS)
    return {
        head.metric: {name for name, cells in table.rows if cells[i].is_best}
        for i, head in enumerate(table.heads)
    }


def marked_on_terminal(board: Board) -> dict[str, set[str]]:
    table = results_table(board, "", " ")
    found: dict[str, set[str]] = {}
    for metric, column in zip(board.columns, table.columns[1:], strict=True):
        cells = zip(board.detectors, column.cells, strict=True)
        found[metric] = {n for n, c in cells if any("bold" in str(s.style) for s in c.spans)}
    return found


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return make_board(make_run(tmp_path / "run"), METRICS)


def test_terminal_and_page_mark_the_same(board: Board) -> None:
    marked = marked_on_page(board)
    assert marked == marked_on_terminal(board)
    assert all(len(names) == 1 for names in marked.values())


@pytest.mark.parametrize("change", [{"level": "invalid"}, {"value": math.nan}])
def test_what_is_invalid_or_not_there_is_never_best(
    board: Board, change: dict[str, object]
) -> None:
    (best,) = marked_on_page(board)["ap"]
    spoilt = {**board.measured, (best, "ap"): replace(board.of(best, "ap"), **change)}
    other = replace(board, measured=spoilt)
    for marked in (marked_on_page(other), marked_on_terminal(other)):
        assert best not in marked["ap"]
