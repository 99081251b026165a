"""Which value is starred, which is in doubt, and who stands alone."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from making_sides import DRIFT, FEW_IMAGES, UNTRAINED, ap, exact, latency, side, spec
from rich.console import Console

from harness.plugin.metrics import Finding
from harness.report import comparison_table
from harness.report.comparison_table import (
    best_side,
    change_reasons,
    comparison_frame,
    dead_lines,
    doubts,
    legend,
    lone_lines,
    print_comparison,
    reasons,
    render_markdown,
)
from harness.report.format import amount, level_mark
from harness.results.comparison import Comparison, Row, compare_sides
from harness.results.estimate import Estimate

DRIFTS = "the samples drift: the last third is 20% slower than the first"
FAR_WORDS = "some runs took far longer than most"
FAR, FARTHER = (Finding("far_tail", params={"ratio": ratio}) for ratio in (2.0, 8.0))
WRONG = Finding("impossible_samples", "invalid", {"bad": 3, "count": 60})


def compared(*estimates: Estimate) -> Comparison:
    return compare_sides([side(f"s{i}", d=[one]) for i, one in enumerate(estimates)])


def row_of(*estimates: Estimate) -> Row:
    return compared(*estimates).rows[0]


def doubted(estimate: Estimate, *findings: Finding) -> Estimate:
    """With the level of the gravest, in the order given."""
    level = "invalid" if any(f.level == "invalid" for f in findings) else "doubtful"
    return replace(estimate, level=level, reasons=findings)


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
    assert row.differences[0].verdict == "better"
    assert best_side(row) == 1


def test_an_invalid_value_is_never_the_best_and_neither_is_one_compared_with_it():
    good, random = ap(0.3, 0.001), doubted(ap(0.9, 0.001), UNTRAINED)
    assert best_side(row_of(good, random, ap(0.5, 0.001, 2))) == 2
    assert row_of(good, random).best == ()
    assert row_of(random, good, good).best == ()
    assert not compared(random, good).comparable


@pytest.mark.parametrize("make", [ap, latency, exact])
def test_the_worst_value_is_never_marked_as_the_best(make: Callable[..., Estimate]):
    """Whichever way is better, and whether or not the differences are real."""
    for spread in (0.02, 5.0):
        values = (0.30, 0.35, 0.40)
        given = [ap(v, spread, i) if make is ap else make(v) for i, v in enumerate(values)]
        worst = 0 if make is ap else 2
        for order in permutations(range(3)):
            found = compared(*(given[i] for i in order))
            row = found.rows[0]
            assert best_side(row) not in (None, order.index(worst))
            bold = re.findall(
                r"\*\*([\d.]+)\*\*", render_markdown(compared(*(given[i] for i in order)))
            )
            assert bold == [amount(row.metric, values[2 - worst])]


def test_marks_stand_behind_values_and_their_reasons_once_below():
    few = [doubted(ap(0.3 + i / 10, 0.001, i), FEW_IMAGES) for i in range(2)]
    found = compared(*few, doubted(ap(0.9, 0.001), UNTRAINED))
    assert [level_mark(one) for one in found.rows[0].estimates] == ["!", "!", "⊘"]
    assert list(reasons(found)) == [
        "d AP: ⊘ the weights are random: the detector was not trained (s2)",
        "d AP: ! images: only 9 (s0, s1)",
    ]
    text = printed(found)
    assert "30.0!" in text
    assert "40.0*!" in text
    assert "⊘ invalid" in text
    assert "**40.0** !" in render_markdown(found)
    assert "! doubtful" in legend(found)


def test_the_star_is_explained_where_there_is_one():
    assert "* best of its row" in legend(compared(exact(1), exact(2)))
    assert "best" not in legend(compared(exact(1), exact(1)))
    assert "bold: best" in render_markdown(compared(exact(1), exact(2)))


def test_who_has_learned_nothing_is_best_of_no_row():
    dead, live = side("dead", d=[ap(0.0, 0.001), exact(1)]), [ap(0.3, 0.001, 1), exact(2)]
    found = compare_sides([dead, side("live", d=live)])
    told = "d, dead: it finds next to nothing: AP 0.0 %; never the best of a row"
    assert reasons(found)[0] == told
    assert [best_side(row) for row in found.rows] == [1, None]
    both = compare_sides([dead, side("too", d=[ap(0.004, 0.001, 1)])])
    assert [best_side(row) for row in both.rows] == [None, None]
    alive = compare_sides([side("a", d=[ap(0.2, 0.001), exact(1)]), side("live", d=live)])
    assert [best_side(row) for row in alive.rows] == [1, 0]


def test_no_other_is_best_in_place_of_who_has_learned_nothing():
    dead = side("dead", d=[ap(0.0, 0.001), exact(1)])
    live = [side(str(macs), d=[ap(0.3, 0.001, macs), exact(macs)]) for macs in (2, 3)]
    assert [best_side(row) for row in compare_sides([live[0], dead]).rows] == [0, None]
    assert [row.best for row in compare_sides([dead, *live]).rows][1] == ()
    worst = side("dead", d=[ap(0.0, 0.001), exact(4)])
    assert [row.best for row in compare_sides([*live, worst]).rows][1] == (0,)


def test_a_further_mode_of_who_has_learned_nothing_is_best_of_no_row_either():
    """It has no scores of its own."""
    made = [
        side(name, **{"d": [ap(score, 0.001, seed)], "d@fast": [latency(5.0 + seed)]})
        for seed, (name, score) in enumerate({"dead": 0.0, "live": 0.3}.items())
    ]
    found = compare_sides(made)
    assert [(row.detector, best_side(row)) for row in found.rows] == [("d", 1), ("d@fast", None)]
    assert len(dead_lines(found)) == 2
    assert not any(row.dead for row in compare_sides([made[1], made[1]]).rows)


def test_who_has_learned_nothing_is_named_before_all_else_with_its_side_and_value():
    live, dead = ap(0.3, 0.001, images=49), doubted(ap(0.004, 0.001, 1), FEW_IMAGES)
    found = compare_sides([side("live", d=[live]), side("dead", d=[dead], lone=[dead])])
    assert found.lone
    assert change_reasons(found)
    assert doubts(found)
    dead_line, *others = reasons(found)
    told = "d, dead: it finds next to nothing: AP 0.4 %; never the best of a row"
    assert dead_line == told
    assert not any("learned" in line for line in others)


@pytest.mark.parametrize(("points_above", "told"), [(-1e-6, 1), (0.0, 0)])
def test_only_what_is_below_the_floor_has_learned_nothing(points_above: float, told: int):
    """Wherever among a detector's numbers its score stands."""
    score = ap(spec("ap").floor + points_above, 0.001)
    found = compare_sides([side("one", d=[exact(1), score]), side("live", d=[ap(0.3, 0.001, 1)])])
    assert len(dead_lines(found)) == told


def test_what_no_side_has_a_value_of_takes_no_row():
    lacking = replace(ap(np.nan), seeds={})
    one, other = (side(name, d=[lacking, exact(1)]) for name in ("one", "other"))
    assert [row.metric.name for row in compare_sides([one, other]).common_rows] == ["macs_paper"]


def test_only_what_no_image_tells_apart_is_the_same():
    """Two detectors may well have the same AP and find different objects."""
    one = ap(0.3, 0.01, 1)
    assert row_of(one, one).differences[0].verdict == "equal"
    assert row_of(one, ap(0.3, 0.01, 2)).differences[0].verdict == "noise"
    assert "interval" not in printed(compared(one, one))
    assert "paired bootstrap" in printed(compared(one, ap(0.3, 0.01, 2)))


def test_remarks_are_told_with_their_sides():
    """They cast no doubt, and yet are to be known: a file whose classes were put right."""
    told = Finding("class_ids_off", "remark", {
        "file": "f.json", "less": "less", "boxes": 9, "shifted": 8, "as_given": 1
    })  # fmt: skip
    one = replace(ap(0.3, 0.001), remarks=(told,))
    assert reasons(compared(ap(0.4, 0.001, 1), one)) == [
        "d AP: every category_id of f.json is taken as one less: of 9 boxes 8 then lie on objects "
        "of their class, instead of 1 (s1)"
    ]


def test_detectors_without_an_opposite_are_named_below_the_table():
    base = side("base", a=[exact(1)], b=[exact(1)], c=[exact(1)])
    found = compare_sides([base, side("new", a=[exact(2)], d=[exact(1)])])
    assert list(lone_lines(found)) == ["only in base: b, c", "only in new: d"]
    table = [line for line in printed(found).splitlines() if "MACs" in line]
    assert len(table) == 1
    assert len(found.rows) == 4


def test_a_detector_that_one_of_several_sides_lacks_stays_in_the_table():
    sides = [side("base", a=[exact(1)]), side("one"), side("two", a=[exact(2)], b=[exact(1)])]
    found = compare_sides([*sides, side("three", b=[exact(1)])])
    assert [row.differences[0].verdict for row in found.common_rows] == ["missing"]
    assert list(lone_lines(found)) == ["only in two and three: b"]


def test_nothing_in_common_makes_no_table():
    text = printed(compare_sides([side("a", x=[exact(1)]), side("b", y=[exact(1)])]))
    assert text.splitlines() == ["only in a: x", "only in b: y"]


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there are too many doubts to tell all."""
    monkeypatch.setattr(comparison_table, "MOST_DOUBTS", 0)


def test_every_reason_is_told_once_with_the_sides_that_have_it():
    one, other = doubted(latency(10.0), DRIFT, FAR), doubted(latency(11.0), DRIFT, FARTHER)
    assert doubts(compared(one, other)) == [
        f"d latency: ! {DRIFTS} (s0, s1)",
        f"d latency: ! p99 is 2.0 times p50: {FAR_WORDS} (s0)",
        f"d latency: ! p99 is 8.0 times p50: {FAR_WORDS} (s1)",
    ]
    wrong = doubted(latency(11.0), DRIFT, WRONG)
    assert doubts(compared(one, wrong)) == [
        "d latency: ⊘ samples that are not positive: 3 of 60; the clock is wrong (s1)",
        f"d latency: ! {DRIFTS} (s0, s1)",
        f"d latency: ! p99 is 2.0 times p50: {FAR_WORDS} (s0)",
    ]


@pytest.mark.parametrize("count", [2, 4])
def test_each_value_stands_before_its_own_interval(count: int):
    """Beside one another, and of many sides below one another."""
    sides = [replace(latency(10.0 * n), low=10.0 * n - 1, high=10.0 * n + 2) for n in range(1, 5)]
    console = Console(width=160, force_terminal=False)
    with console.capture() as captured:
        print_comparison(compared(*sides[:count]), console, intervals=True)
    wanted = [(f"{10 * n}.0", f"{10 * n - 1}.0", f"{10 * n + 2}.0") for n in range(1, count + 1)]
    assert re.findall(r"(\d+\.\d)[★*!]* +\[(.+?), (.+?)\]", captured.get()) == wanted


def test_reasons_that_read_alike_are_one():
    busy = [Finding("busy_cpu", params={"cores": cores, "of": 2}) for cores in (1.51, 1.52)]
    found = compared(*(doubted(latency(10.0), one) for one in busy))
    assert doubts(found) == ["d latency: ! other work used 1.5 of 2 CPU cores (s0, s1)"]


def test_a_value_that_is_not_there_is_in_no_doubt():
    absent = replace(doubted(latency(10.0), DRIFT), value=np.nan)
    assert not absent.is_there
    assert doubts(compared(doubted(latency(11.0), FAR), absent)) == [
        f"d latency: ! p99 is 2.0 times p50: {FAR_WORDS} (s0)"
    ]


def test_reasons_are_counted_only_where_they_are_many_lines():
    def rows(count: int) -> Comparison:
        names = [f"d{i}" for i in range(count)]
        found = {
            name: doubted(latency(10.0), DRIFT, Finding("far_tail", params={"ratio": 3.0 + i}))
            for i, name in enumerate(names)
        }
        one, other = (side(s, **{name: [made] for name, made in found.items()}) for s in "ab")
        return compare_sides([one, other])

    few, many = doubts(rows(11)), doubts(rows(12))
    assert len(few) == 12
    assert not any("more reason" in line for line in few)
    assert many == [
        f"d0 latency, d1 latency, d2 latency and 9 more: ! {DRIFTS} (a, b) and 1 more reason"
    ]


@pytest.mark.usefixtures("crowded")
def test_a_row_has_its_worst_reason_and_a_count():
    one, other = doubted(latency(10.0), DRIFT, FAR), doubted(latency(11.0), DRIFT, FARTHER)
    assert doubts(compared(one, other)) == [f"d latency: ! {DRIFTS} (s0, s1) and 2 more reasons"]
    wrong = doubted(latency(11.0), DRIFT, WRONG)
    assert doubts(compared(one, wrong)) == [
        "d latency: ⊘ samples that are not positive: 3 of 60; the clock is wrong (s1)"
        " and 1 more reason",
        f"d latency: ! {DRIFTS} (s0) and 1 more reason",
    ]
    assert doubts(compared(one, latency(11.0))) == [f"d latency: ! {DRIFTS} (s0) and 1 more reason"]


@pytest.mark.usefixtures("crowded")
def test_the_gravest_doubt_of_each_side_is_told_whatever_the_order_of_sides():
    """And whatever the order in which a record has them."""
    dependent = Finding("autocorrelated", params={"count": 50, "effective": 13.0})
    busy = Finding("busy_cpu", params={"cores": 2.0, "of": 2})
    quiet = doubted(latency(10.0), dependent)
    for findings in permutations((FAR, busy, dependent)):
        disturbed = doubted(latency(20.0), *findings)
        for pair in ((quiet, disturbed), (disturbed, quiet)):
            found = compared(*pair)
            where = "s1" if pair[1] is disturbed else "s0"
            assert doubts(found) == [
                f"d latency: ! other work used 2.0 of 2 CPU cores ({where})",
                "d latency: ! samples are autocorrelated: the effective sample size of 50 is "
                "about 13 (s0, s1) and 1 more reason",
            ]
            (told,) = comparison_frame(found)["doubts"]
            assert told.startswith("other work used 2.0 of 2 CPU cores; p99 is")


def test_rows_with_the_same_worst_reason_share_a_line():
    few = [doubted(ap(v, 0.001, i), FEW_IMAGES) for i, v in enumerate((0.3, 0.4))]
    sides = [side(name, a=[one], b=[one]) for name, one in zip("xy", few, strict=True)]
    assert doubts(compare_sides(sides)) == ["a AP and b AP: ! images: only 9 (x, y)"]


def test_times_of_a_single_process_are_said_to_be_so():
    pair = [replace(latency(m), seeds={0: m, 1: m}) for m in (10.0, 11.0)]
    said = "times of one process per side"
    assert not any(said in note for note in compared(*pair).notes)
    assert sum(said in note for note in compared(pair[0], latency(11.0)).notes) == 1
    assert not any(said in note for note in compared(ap(0.3, 0.01), ap(0.4, 0.01)).notes)
    assert not any(said in note for note in compared(latency(1.0, 0), latency(2.0, 0)).notes)
