"""The top of the page on runs whose answer is known."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_runs import make_run
from page_text import text_of

from harness.plugin.metrics import Finding, MetricSpec
from harness.records.record import Record
from harness.report import format
from harness.report.figures.tradeoffs import undrawn
from harness.report.sections import answer
from harness.report.sections.answer import unequal_training, verdicts
from harness.report.sections.pairs import square
from harness.results.difference import Difference, hold_together
from harness.results.ranking import Ranking, on_front, rank, rankings
from harness.results.run import Run

LATENCY = "latency_end_to_end_p50"


def changed(run: Run, change: Callable[[Record], Record]) -> Run:
    return replace(run, records=tuple(map(change, run.records)))


def with_scores(run: Run, **changes: object) -> Run:
    """The run with its scores of tinydet_l changed."""

    def change(record: Record) -> Record:
        of = (record.detector, record.stage, record.kind)
        own = of == ("tinydet_l", "evaluate", "measurement")
        return replace(record, **changes) if own else record  # type: ignore[arg-type]

    return changed(run, change)


def ranking(run: Run, metric: str) -> Ranking:
    found = rank(run, run.spec(metric))
    assert found is not None
    return found


def said(run: Run, metric: str) -> str:
    return " ".join(verdicts(ranking(run, metric)))


def test_names_the_best_and_from_whom_it_is_distinguishable(made: Run) -> None:
    found = ranking(made, "ap")
    assert (found.metric.question, found.best.detector) == ("Most accurate", "tinydet_l")
    assert found.best.value == pytest.approx(0.347), "mean of 0.345 and 0.349"
    # 0.5 points ahead of tinydet_m, whose seeds lie among its own; 10.5 ahead of ssdlite320
    assert [other.detector for other, _ in found.rivals] == ["tinydet_m", "tinydet_s", "ssdlite320"]
    assert [difference.verdict for difference in found.differences] == ["noise", "better", "better"]
    assert found.certainty == "unsure"
    assert said(made, "ap") == (
        "Significantly better than tinydet_s and ssdlite320 (by 4.5 points or more). "
        "Not significantly different from tinydet_m."
    )


def test_costs_are_exact_and_latencies_are_not(made: Run) -> None:
    macs, parameters, latency = (ranking(made, m) for m in ("macs_paper", "parameters", LATENCY))
    assert (macs.best.detector, macs.best.has_interval) == ("tinydet_s", False)
    assert said(made, "macs_paper") == "Less than all others (by a factor of 2.00 or more)."
    assert parameters.best.value == 2.5
    assert latency.best.has_interval
    told = "Significantly better than all others (by a factor of 2.0"
    assert said(made, LATENCY).startswith(told)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"better": "lower", "role": "cost"}, "Least energy"),
        ({"better": "higher", "role": "cost"}, "Most energy"),
        ({"better": "higher", "role": "score"}, "Best energy"),
        ({"better": "lower", "role": "cost", "question": "Frugal"}, "Frugal"),
    ],
)
def test_a_metric_without_a_question_asks_for_its_better_end(
    given: dict[str, Any], words: str
) -> None:
    assert answer.question(MetricSpec("energy", **given)) == words


def test_the_page_says_it_in_one_sentence_per_question(made: Run) -> None:
    text = text_of(str(answer.build(made)))
    for found in rankings(made):
        assert text.count(found.metric.question) == 1
        assert " ".join(verdicts(found)) in text
        assert format.interval(found.best).replace("\u00a0", " ") in text


def test_an_untrained_detector_never_wins(made: Run) -> None:
    spoilt = with_scores(made, weights="")
    found = ranking(spoilt, "ap")
    assert found.best.detector == "tinydet_m"
    assert [finding.code for finding in found.left_out["tinydet_l"]] == ["untrained", "few_images"]
    assert "tinydet_l" not in [other.detector for other, _ in found.rivals]
    assert "Left out: tinydet_l (the weights are random" in text_of(str(answer.build(spoilt)))


def test_what_was_not_measured_is_named(made: Run) -> None:
    found = ranking(with_scores(made, value=math.nan), "ap")
    assert found.best.detector == "tinydet_m"
    assert [finding.code for finding in found.left_out["tinydet_l"]] == ["not_measured"]


def test_who_has_learned_nothing_wins_no_question_not_even_of_cost(tmp_path: Path) -> None:
    names = {"cheap": 0.003, "good": 0.3, "better": 0.4}
    run = make_run(tmp_path / "floor", detectors=names, seeds=(0,))
    for found in rankings(run):
        assert found.best.detector != "cheap", found.metric.name
        assert [f.code for f in found.left_out["cheap"]] == ["below_floor"]
    assert "cheap (it finds next to nothing: AP 0.3 %)" in text_of(str(answer.build(run)))


def test_where_nobody_learned_anything_nobody_wins(tmp_path: Path) -> None:
    run = make_run(tmp_path / "none", detectors={"a": 0.0, "b": 0.002}, seeds=(0,))
    assert rankings(run) == []
    assert "No detector has learned anything yet" in text_of(str(answer.build(run)))


def test_without_analyses_nothing_is_called_better(tmp_path: Path) -> None:
    run = make_run(tmp_path / "old", analysed=False)
    found = ranking(run, "ap")
    assert not found.best.has_interval
    assert found.certainty == "unsure"
    assert {difference.verdict for difference in found.differences} == {"unknown"}
    assert "etter than" not in said(run, "ap")


def test_what_was_trained_differently_is_told_and_what_was_not_trained_is_not(made: Run) -> None:
    """It has no scores to differ in."""

    def told(**steps: int) -> list[str]:
        plans = {
            name: {"train": {"steps": count, "epochs": None, "batch_size": 4}}
            for name, count in steps.items()
        }
        return list(unequal_training(replace(made, plan={**made.plan, "detectors": plans})))

    assert told(a=300, b=300, c=0) == []
    assert told(a=300, b=200, c=0, d=300) == [
        "Trained differently (a, d: 300 steps of 4 images; b: 200 steps of 4 images): "
        "part of any difference between them may come from that."
    ]


def test_a_single_detector_is_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one", detectors={"only": 0.2}, seeds=(0,))
    assert [found.certainty for found in rankings(run)] == ["alone"] * 5
    page = text_of(str(answer.build(run)))
    assert all(page.count(found.metric.question) == 1 for found in rankings(run))
    assert "Measured for one detector only" not in page


def test_who_is_not_drawn_is_told_with_the_reason(made: Run) -> None:
    """Of the two numbers that the picture is of, and of no other."""
    score, time = (made.spec(name) for name in ("ap", LATENCY))
    lacking = {
        "tinydet_m": ("latency",), "tinydet_l": ("latency",), "ssdlite320": ("evaluate", "latency")
    }  # fmt: skip
    kept = [r for r in made.records if r.stage not in lacking.get(r.detector, ())]
    wrong = (Finding("impossible_samples", "invalid", {"bad": 3, "count": 60}),)
    doubted = [
        replace(r, warnings=wrong) if (r.detector, r.metric) == ("tinydet_s", LATENCY) else r
        for r in kept
    ]
    assert list(undrawn(replace(made, records=tuple(doubted)), (score, time))) == [
        "Not drawn: tinydet_m and tinydet_l, without latency.",
        "Not drawn: ssdlite320, without AP and latency.",
        "Not drawn where a number is invalid: tinydet_s.",
    ]


@pytest.mark.parametrize(
    ("stage", "told"), [("evaluate", ["Not drawn: tinydet_l, without AP."]), ("cost", [])]
)
def test_the_picture_tells_who_is_not_in_it(made: Run, stage: str, told: list[str]) -> None:
    kept = [r for r in made.records if (r.detector, r.stage) != ("tinydet_l", stage)]
    page = str(answer.build(replace(made, records=tuple(kept))))
    assert re.findall(r'<p class="note" aria-hidden="true">(.*?)</p>', page) == told


def test_what_one_alone_was_measured_for_takes_no_question_of_its_own(tmp_path: Path) -> None:
    """As beside files of detections, which have scores and no cost."""
    run = make_run(tmp_path / "two", detectors={"ours": 0.2, "theirs": 0.3}, seeds=(0,))
    kept = [r for r in run.records if r.detector == "ours" or r.stage == "evaluate"]
    page = text_of(str(answer.build(replace(run, records=tuple(kept)))))
    assert page.count("Measured for one detector only") == 1
    assert "only Fastest: ours, 20.0 ms; Fewest MACs: ours, 480.0 MMACs; Fewest par" in page
    assert "Not drawn: theirs, without latency." in page
    assert " latency at most" not in page, "a limit that all meet, or that nobody is known to meet"
    assert "AP-small at least" in page
    whole = text_of(str(answer.build(run)))
    assert "Measured for one" not in whole
    assert "Not drawn" not in whole
    assert "latency at most" in whole


def test_latencies_under_other_conditions_are_not_compared(made: Run) -> None:
    def slow(record: Record) -> Record:
        if record.detector != "tinydet_m":
            return record
        return replace(record, conditions={**record.conditions, "threads": 8})

    spoilt = changed(made, slow)
    assert "Not comparable with tinydet_m: threads: 8 against 1." in said(spoilt, LATENCY)
    assert ranking(spoilt, LATENCY).certainty == "unsure"


def test_detectors_on_other_images_are_not_compared(made: Run) -> None:
    analyses = {
        place: replace(one, pairing="other") if place[0] == "tinydet_m" else one
        for place, one in made.analyses.items()
    }
    found = replace(made, analyses=analyses).difference("tinydet_m", "tinydet_l", "ap")
    assert found.verdict == "unknown"
    assert [reason.code for reason in found.reasons] == ["images_differ"]


def test_a_difference_turns_with_its_sides(made: Run) -> None:
    one = made.difference("tinydet_s", "tinydet_l", "ap")
    two = made.difference("tinydet_l", "tinydet_s", "ap")
    assert (one.verdict, two.verdict) == ("better", "worse")
    assert one.value == pytest.approx(0.045)
    assert two.value == pytest.approx(-0.045)
    assert two.low == pytest.approx(-one.high, abs=0.002)


@given(st.dictionaries(st.text(), st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_front_is_what_nobody_beats(points: dict[str, tuple[int, int]]) -> None:
    names = on_front({name: (float(c), float(ap)) for name, (c, ap) in points.items()})
    for name, (cost, ap) in points.items():
        beaten = any(c <= cost and a >= ap and (c, a) != (cost, ap) for c, a in points.values())
        twins = [n for n in names if points[n] == (cost, ap)]
        assert (name in names or len(twins) == 1) != beaten
    assert [points[n][0] for n in names] == sorted(points[n][0] for n in names)


@pytest.mark.parametrize(
    ("value", "shown"), [(1.25, "+1.2"), (-3.0, "−3.0"), (0.04, "0.0"), (-0.04, "0.0")]
)
def test_signs(value: float, shown: str) -> None:
    assert format.signed(value) == shown


@pytest.mark.parametrize(
    ("p", "shown"), [(0.0004, "< 0.001"), (0.0123, "0.012"), (0.5, "0.50"), (math.nan, "")]
)
def test_p_values(p: float, shown: str) -> None:
    assert format.probability(p) == shown


def test_p_at_the_floor_of_the_resamples_is_a_bound(made: Run) -> None:
    assert format.probability(0.002, is_limit=True) == "≤ 0.002"
    # ten points ahead: no resample of 200 turns that
    found = made.difference("ssdlite320", "tinydet_l", "ap")
    assert found.p_is_limit
    assert found.chance < found.p


def of_chance(p: float) -> Difference:
    return Difference("better" if p < 0.05 else "noise", 0.01, p=p, chance=p)


def test_a_winner_has_to_hold_against_all_comparisons() -> None:
    # Holm: 0.01 * 3 and 0.02 * 2 are under 0.05, 0.04 * 1 too
    held = hold_together([of_chance(p) for p in (0.04, 0.01, 0.02)])
    assert [found.verdict for found in held] == ["better"] * 3
    # 0.012 * 3 is, 0.03 * 2 is not, and then 0.04 is not looked at
    held = hold_together([of_chance(p) for p in (0.04, 0.012, 0.03)])
    assert [found.verdict for found in held] == ["noise", "better", "noise"]
    assert held[0].reasons == (Finding("not_among_many", "remark", {"comparisons": 3}),)


def test_one_training_each_is_said(tmp_path: Path) -> None:
    pair = {"one": 0.2, "two": 0.4}
    single = make_run(tmp_path / "single", detectors=pair, seeds=(0,))
    assert said(single, "ap") == "Significantly better than one (by 20.0 points)."
    assert ranking(single, "ap").certainty == "single"
    assert "One training each: another seed may differ." in text_of(str(answer.build(single)))
    several = make_run(tmp_path / "several", detectors=pair)
    assert ranking(several, "ap").certainty == "sure"


def test_untrained_detectors_are_in_no_pair(made: Run) -> None:
    spoilt = with_scores(made, weights="")
    found = square(spoilt, spoilt.spec("ap"))
    assert "tinydet_l" not in found.names
    assert found.invalid == ("tinydet_l",)
    assert found.pairs == 3


def test_fastest_is_unsure_where_either_timing_is_doubtful(made: Run) -> None:
    assert ranking(made, LATENCY).certainty == "sure"

    def warn(record: Record) -> Record:
        of = (record.detector, record.metric)
        busy = (Finding("busy_cpu", params={"cores": 1.0, "of": 2}),)
        return replace(record, warnings=busy) if of == ("tinydet_m", LATENCY) else record

    assert ranking(changed(made, warn), LATENCY).certainty == "unsure"
