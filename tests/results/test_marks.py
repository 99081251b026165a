"""Which value is starred, which is in doubt, and who stands alone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from making_sides import ap, exact, latency, side
from rich.console import Console

from harness.report.changes import best_side, doubts, legend, lone_lines, reasons, value_mark
from harness.report.comparison import print_comparison
from harness.report.comparison_files import render_markdown
from harness.results.comparison import compare_sides
from harness.results.types import Comparison, Figure, Row
from harness.results.validity_rules import Level


def compared(*figures: Figure) -> Comparison:
    return compare_sides([side(f"s{i}", d=[figure]) for i, figure in enumerate(figures)])


def row_of(*figures: Figure) -> Row:
    return compared(*figures).rows[0]


def doubted(figure: Figure, level: Level, *doubts: str) -> Figure:
    return replace(figure, level=level, doubts=doubts)


def printed(comparison: Comparison, width: int = 120) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        print_comparison(comparison, console)
    return captured.get()


@pytest.mark.parametrize(
    ("values", "spread", "best"),
    [
        ((0.3, 0.4), 0.001, 1),
        ((0.4, 0.3), 0.001, 0),
        ((0.30, 0.31), 0.2, 1),  # inside the noise, but another number
        ((0.0001, 0.0002), 0.01, None),  # both are shown as 0.0
        ((0.3, 0.4, 0.4001), 0.01, None),  # the best two are level
        ((0.4, 0.3, 0.3001), 0.01, 0),  # the others are, which is nothing to the best
        ((0.3, 0.3), 0.01, None),
    ],
)
def test_a_star_needs_a_value_of_its_own(values: Sequence[float], spread: float, best: int | None):
    row = row_of(*(ap(value, spread, seed) for seed, value in enumerate(values)))
    assert best_side(row) == best


def test_a_real_difference_too_small_to_show_is_starred():
    row = row_of(exact(479.34), exact(479.31))
    assert row.changes[0].verdict == "better"
    assert best_side(row) == 1


def test_an_invalid_value_is_never_the_best_and_neither_is_one_compared_with_it():
    good, random = ap(0.3, 0.001), doubted(ap(0.9, 0.001), "invalid", "the weights are random")
    assert best_side(row_of(good, random, ap(0.5, 0.001, 2))) == 2
    assert row_of(good, random).best == ()
    assert row_of(random, good, good).best == ()
    assert not compared(random, good).comparable


def test_marks_stand_behind_values_and_their_reasons_once_below():
    few = [doubted(ap(0.3 + i / 10, 0.001, i), "doubtful", "on 9 images") for i in range(2)]
    random = doubted(ap(0.9, 0.001), "invalid", "the weights are random")
    found = compared(*few, random)
    assert [value_mark(found.rows[0], i) for i in range(3)] == ["!", "!", "⊘"]
    assert list(reasons(found)) == [
        "d AP: ⊘ the weights are random (s2)",
        "d AP: ! on 9 images (s0, s1)",
    ]
    text = printed(found)
    assert "30.0 !" in text or "30.0! " in text
    assert "40.0*!" in text
    assert "⊘ invalid" in text
    assert "**40.0** !" in render_markdown(found)
    assert "! doubtful" in legend(found)


def test_the_star_is_explained_where_there_is_one():
    assert "* best of its row" in legend(compared(exact(1), exact(2)))
    assert "best" not in legend(compared(exact(1), exact(1)))
    assert "bold: best" in render_markdown(compared(exact(1), exact(2)))


def test_detectors_without_an_opposite_are_named_below_the_table():
    base = side("base", a=[exact(1)], b=[exact(1)], c=[exact(1)])
    found = compare_sides([base, side("new", a=[exact(2)], d=[exact(1)])])
    assert list(lone_lines(found)) == ["only in base: b, c", "only in new: d"]
    table = [line for line in printed(found).splitlines() if "mult-adds" in line]
    assert len(table) == 1
    assert len(found.rows) == 4


def test_a_detector_that_one_of_several_sides_lacks_stays_in_the_table():
    sides = [side("base", a=[exact(1)]), side("one"), side("two", a=[exact(2)], b=[exact(1)])]
    found = compare_sides([*sides, side("three", b=[exact(1)])])
    assert [row.changes[0].verdict for row in found.common_rows] == ["missing"]
    assert list(lone_lines(found)) == ["only in two and three: b"]


def test_nothing_in_common_makes_no_table():
    text = printed(compare_sides([side("a", x=[exact(1)]), side("b", y=[exact(1)])]))
    assert text.splitlines() == ["only in a: x", "only in b: y"]


def test_a_row_has_one_line_of_its_worst_reason_and_a_count():
    one = doubted(latency(10.0), "doubtful", "busy", "p99 is 8 times p50")
    other = doubted(latency(11.0), "doubtful", "busy", "p99 is 2 times p50")
    assert list(doubts(compared(one, other))) == [
        "d latency: ! busy (s0, s1) and 2 more reasons",
    ]
    random = doubted(latency(11.0), "invalid", "the clock is wrong", "busy")
    assert list(doubts(compared(one, random))) == [
        "d latency: ⊘ the clock is wrong (s1) and 1 more reason",
        "d latency: ! busy (s0) and 1 more reason",
    ]
    assert list(doubts(compared(one, latency(11.0)))) == [
        "d latency: ! busy (s0) and 1 more reason"
    ]


def test_rows_with_the_same_worst_reason_share_a_line():
    few = [doubted(ap(v, 0.001, i), "doubtful", "on 9 images") for i, v in enumerate((0.3, 0.4))]
    sides = [side(name, a=[figure], b=[figure]) for name, figure in zip("xy", few, strict=True)]
    assert list(doubts(compare_sides(sides))) == ["a AP, b AP: ! on 9 images (x, y)"]


def test_times_of_a_single_process_are_said_to_be_so():
    pair = [replace(latency(m), seeds=(m, m)) for m in (10.0, 11.0)]
    said = "one process a side"
    assert not any(said in note for note in compared(*pair).notes)
    assert sum(said in note for note in compared(pair[0], latency(11.0)).notes) == 1
    assert not any(said in note for note in compared(ap(0.3, 0.01), ap(0.4, 0.01)).notes)
    assert not any(said in note for note in compared(latency(1.0, 0), latency(2.0, 0)).notes)
