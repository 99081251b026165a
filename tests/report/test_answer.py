"""The top of the page on runs whose answer is known."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_runs import make_run

from harness.records.frame import to_frame
from harness.report.sections.answer import COSTS, QUESTIONS, Answer, find_answer
from harness.report.sections.bars import draw_bars
from harness.report.sections.differences import Gap, find_gap, hold_together, images_needed, show_p
from harness.report.sections.front import on_front
from harness.report.sections.matrix import compare_all
from harness.report.sections.measured import make_board, show_signed
from harness.results.ap.paired import paired_difference
from harness.results.run import Run

METRICS = ("ap", "ap_small", *COSTS)


def answer_of(run: Run) -> Answer:
    return find_answer(make_board(run, METRICS))


def with_records(run: Run, **changes: object) -> Run:
    """The run with its AP records of tinydet_l changed."""
    records = tuple(
        replace(r, **changes) if (r.detector, r.stage) == ("tinydet_l", "evaluate") else r
        for r in run.records
    )
    return replace(run, records=records, frame=to_frame(list(records)))


def test_names_the_best_and_says_from_whom_it_can_be_told(made: Run) -> None:
    best = answer_of(made).accuracy[0]
    assert (best.question, best.detector) == (QUESTIONS["ap"], "tinydet_l")
    # mean over seeds of 0.345 and 0.349
    assert (best.value, best.unit) == ("34.7", "AP")
    assert best.interval.startswith("[")
    # 0.5 points ahead of tinydet_m, whose seeds lie among its own; 10.5 ahead of ssdlite320
    assert "Not distinguishable from tinydet_m" in best.verdict
    assert "Better than tinydet_s and ssdlite320 on these images." in best.verdict
    assert best.mood == "unsure"
    assert [gap.behind for gap, _ in best.gaps] == ["tinydet_m", "tinydet_s", "ssdlite320"]
    assert [gap.sign for gap, _ in best.gaps] == ["noise", "better", "better"]


def test_costs_are_exact_and_latencies_are_not(made: Run) -> None:
    macs, parameters, latency = answer_of(made).cost
    assert (macs.detector, macs.value, macs.interval) == ("tinydet_s", "480.0", "")
    assert macs.verdict == "tinydet_m has 2.0 times as many; exact."
    assert parameters.value == "2.50"
    assert latency.interval
    assert latency.verdict.startswith("tinydet_m takes 2.0")


def test_an_untrained_detector_never_wins(made: Run) -> None:
    spoilt = with_records(made, weights="")
    best = answer_of(spoilt).accuracy[0]
    assert best.detector == "tinydet_m"
    assert any(line.startswith("tinydet_l is left out:") for line in best.doubts)
    assert "tinydet_l" not in [gap.behind for gap, _ in best.gaps]


def test_what_was_not_measured_is_named(made: Run) -> None:
    best = answer_of(with_records(made, value=math.nan)).accuracy[0]
    assert best.detector == "tinydet_m"
    assert "not measured: tinydet_l" in best.doubts


def test_without_analyses_nothing_is_called_better(tmp_path: Path) -> None:
    best = answer_of(make_run(tmp_path / "old", analysed=False)).accuracy[0]
    assert best.interval == ""
    assert best.mood == "unsure"
    assert "etter than" not in best.verdict
    assert {gap.sign for gap, _ in best.gaps} == {"unknown"}


def test_a_single_detector_is_alone(tmp_path: Path) -> None:
    answer = answer_of(make_run(tmp_path / "one", detectors={"only": 0.2}, seeds=(0,)))
    assert [winner.mood for winner in (*answer.accuracy, *answer.cost)] == ["alone"] * 5
    assert answer.fronts == ()


def test_latencies_on_other_terms_are_not_compared(made: Run) -> None:
    records = tuple(
        replace(r, conditions={**r.conditions, "threads": 8}) if r.detector == "tinydet_m" else r
        for r in made.records
    )
    spoilt = replace(made, records=records, frame=to_frame(list(records)))
    latency = answer_of(spoilt).cost[-1]
    assert latency.verdict == "Not comparable with tinydet_m: threads: 1 against 8."
    assert latency.mood == "unsure"


def test_detectors_on_other_images_are_not_compared(made: Run) -> None:
    analyses = {
        place: replace(one, pairing="other") if place[0] == "tinydet_m" else one
        for place, one in made.analyses.items()
    }
    gap = find_gap(replace(made, analyses=analyses), "tinydet_l", "tinydet_m", "ap")
    assert (gap.sign, gap.shown) == ("unknown", "–")
    assert "other images" in gap.verdict


def test_gap_turns_with_its_sides(made: Run) -> None:
    one = find_gap(made, "tinydet_l", "tinydet_s", "ap")
    two = find_gap(made, "tinydet_s", "tinydet_l", "ap")
    assert (one.sign, two.sign) == ("better", "worse")
    assert one.value == pytest.approx(4.5)
    assert two.value == pytest.approx(-4.5)
    assert two.low == pytest.approx(-one.high, abs=0.2)


def test_images_needed_fall_with_the_square_of_the_difference(made: Run) -> None:
    found = paired_difference(made.analyses_of("tinydet_m"), made.analyses_of("tinydet_l"), "ap")
    # half-width 1 point, difference 0.5: (1.4294 * 2)^2 = 8.17 times as many images
    noisy = replace(found, value=0.005, low=-0.005, high=0.015)
    assert images_needed(noisy, 100) == 820
    assert images_needed(replace(noisy, value=0.0), 100) is None
    assert images_needed(replace(noisy, low=math.nan, high=math.nan), 100) is None
    # 10,000 times as small: no set is that large
    assert images_needed(replace(noisy, value=5e-7), 100) is None


@given(st.dictionaries(st.text(), st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_front_is_what_nobody_beats(points: dict[str, tuple[int, int]]) -> None:
    names = on_front({name: (float(c), float(ap)) for name, (c, ap) in points.items()})
    for name, (cost, ap) in points.items():
        beaten = any(c <= cost and a >= ap and (c, a) != (cost, ap) for c, a in points.values())
        twins = [n for n in names if points[n] == (cost, ap)]
        assert (name in names or len(twins) == 1) != beaten
    assert [points[n][0] for n in names] == sorted(points[n][0] for n in names)


def test_front_tells_steps_and_who_is_beaten(made: Run) -> None:
    macs, latency = answer_of(made).fronts
    assert [step.detector for step in macs.steps] == ["tinydet_s", "tinydet_m", "tinydet_l"]
    assert [step.gain for step in macs.steps] == ["", "+4.0", "+0.5"]
    assert [step.sign for step in macs.steps] == ["", "better", "noise"]
    assert macs.beaten == (("ssdlite320", "tinydet_l"),)
    assert latency.cost == "latency"


def test_bars_share_a_scale_that_holds_zero(made: Run) -> None:
    gaps = [find_gap(made, "tinydet_l", other, "ap") for other in ("tinydet_m", "ssdlite320")]
    near, far = draw_bars(gaps)
    assert near is not None
    assert far is not None
    assert near.zero == far.zero
    assert near.at < far.at
    for bar in (near, far):
        assert 0 <= bar.start <= bar.at <= bar.start + bar.width <= 100
    assert draw_bars([replace(gaps[0], value=math.nan, low=math.nan, high=math.nan)]) == [None]


@pytest.mark.parametrize(
    ("value", "shown"), [(1.25, "+1.2"), (-3.0, "−3.0"), (0.04, "0.0"), (-0.04, "0.0")]
)
def test_signs(value: float, shown: str) -> None:
    assert show_signed(value) == shown


@pytest.mark.parametrize(
    ("p", "shown"), [(0.0004, "< 0.001"), (0.0123, "0.012"), (0.5, "0.50"), (math.nan, "")]
)
def test_p_values(p: float, shown: str) -> None:
    assert show_p(p) == shown


def test_p_at_the_floor_of_the_resamples_is_a_bound(made: Run) -> None:
    assert show_p(0.002, is_floor=True) == "≤ 0.002"
    # ten points ahead: no resample of 200 turns that
    assert find_gap(made, "tinydet_l", "ssdlite320", "ap").p.startswith("≤ 0.0")


def gap_of(behind: str, p: float) -> Gap:
    sign = "better" if p < 0.05 else "noise"
    return Gap("a", behind, sign, "+1.0", "", "", "", chance=p)  # type: ignore[arg-type]


def test_a_winner_has_to_hold_against_all_comparisons() -> None:
    # Holm: 0.01 * 3 and 0.02 * 2 are under 0.05, 0.04 * 1 too
    held = hold_together([gap_of("b", 0.04), gap_of("c", 0.01), gap_of("d", 0.02)])
    assert [gap.sign for gap in held] == ["better"] * 3
    # 0.012 * 3 is, 0.03 * 2 is not, and then 0.04 is not looked at
    held = hold_together([gap_of("b", 0.04), gap_of("c", 0.012), gap_of("d", 0.03)])
    assert [gap.sign for gap in held] == ["noise", "better", "noise"]
    assert held[0].verdict == "better on its own, but not significant among 3 comparisons"


def test_one_training_each_is_said(made: Run, tmp_path: Path) -> None:
    pair = {"one": 0.2, "two": 0.4}
    single = answer_of(make_run(tmp_path / "single", detectors=pair, seeds=(0,))).accuracy[0]
    assert single.verdict == "Better than one on these images."
    assert (single.mood, single.caveat) == (
        "single",
        "one training each: another seed may differ",
    )
    several = answer_of(make_run(tmp_path / "several", detectors=pair)).accuracy[0]
    assert (several.mood, several.caveat) == ("sure", "")


def test_untrained_detectors_stand_in_no_pair(made: Run) -> None:
    matrix = compare_all(make_board(with_records(made, weights=""), METRICS))[0]
    assert "tinydet_l" not in matrix.names
    assert matrix.invalid == ("tinydet_l",)
    assert matrix.pairs == 3


def test_fastest_is_unsure_where_either_timing_is_doubtful(made: Run) -> None:
    assert answer_of(made).cost[-1].mood == "sure"
    records = tuple(
        replace(r, warnings=("other work on the device",))
        if r.detector == "tinydet_m" and r.metric == "latency_end_to_end_p50"
        else r
        for r in made.records
    )
    answer = answer_of(replace(made, records=records, frame=to_frame(list(records))))
    latency, front = answer.cost[-1], answer.fronts[-1]
    assert latency.mood == "unsure"
    assert any(line.startswith("tinydet_m: ") for line in latency.doubts)
    assert [s.detector for s in front.steps if "other work" in s.doubt] == ["tinydet_m"]
