"""What speaks against a measurement is found and told in words."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.plugin.metrics import Finding, MetricSpec
from harness.records.record import Record
from harness.results import validity
from harness.results.estimate import make_estimate
from harness.results.run import known_metrics
from harness.results.run_folder import read_run
from harness.results.validity import LEVELS, Judgement, samples_behind

Floats = NDArray[np.float64]
QUIET = tuple((10 + 0.1 * np.random.default_rng(2).standard_normal(400)).tolist())
EVALUATED = {"images": 5000, "boxes": 36335, "detections": 400000}
TIMED = {"device_type": "cpu", "ops": "compiled-cpu", "warmup_runs": 10}
FEWER = Finding("proposals_differ", "remark", {"proposals": 150, "paper": 200})
TRAINED: dict[str, Any] = {
    "run": "r",
    "detector": "one",
    "seed": 0,
    "fingerprint": "f",
    "time": 1.0,
    "environment": "e",
    "weights": "w",
}


def judge(record: Record, samples: tuple[float, ...] = ()) -> Judgement:
    spec = known_metrics().spec(record.metric or "none")  # a failed cell has none
    return validity.judge(record, spec, samples)


def words(found: tuple[Finding, ...]) -> tuple[str, ...]:
    return tuple(known_metrics().word(one) for one in found)


def ap(metric: str = "ap", value: float = 0.3, weights: str = "w", **conditions: Any) -> Record:
    return record(metric, value, "evaluate", weights=weights, conditions=EVALUATED | conditions)


def latency(
    samples: tuple[float, ...] = QUIET,
    metric: str = "latency_end_to_end_p50",
    weights: str = "w",
    warnings: tuple[Finding, ...] = (),
    **conditions: Any,
) -> Record:
    own = samples if metric.endswith("p50") else ()
    return record(
        metric,
        10.0,
        "latency",
        samples=own,
        count=len(samples),
        weights=weights,
        warnings=warnings,
        conditions=TIMED | conditions,
    )


def record(metric: str, value: float, stage: str, **changes: Any) -> Record:
    given = TRAINED | {"kind": "measurement", "metric": metric, "value": value, "stage": stage}
    return Record(**(given | changes))


@pytest.mark.parametrize(
    "good",
    [
        ap(),
        latency(),
        record("macs_paper", 495.0, "cost", conditions={"unsupported_ops": {"aten::add": 3}}),
        record("parameters", 2.5, "cost", weights=""),
        record("train_images_per_second", 7.0, "train", count=699),
        record("train_loss", 0.2, "train"),
        record("energy", 3.0, "elsewhere", weights=""),
    ],
)
def test_nothing_speaks_against_a_good_measurement(good: Record) -> None:
    found = judge(good)
    assert (found.level, found.reasons, found.remarks) == ("valid", (), ())


@pytest.mark.parametrize(
    ("bad", "level", "reason"),
    [
        (ap(weights=""), "invalid", "the weights are random: the detector was not trained"),
        (ap(images=99), "doubtful", "images: only 99"),
        (ap("ap_small", boxes=16), "doubtful", "objects: only 16"),
        (
            ap("ap_small", boxes=60, object_images=4),
            "doubtful",
            "images with such objects: only 4",
        ),
        (ap(value=0.0, detections=0), "doubtful", "there are no detections at all"),
        (
            ap("ap_small", math.nan, boxes=0),
            "invalid",
            "the ground truth has no such object",
        ),
        (latency(QUIET[:5]), "invalid", "samples: only 5, and not even the median has an interval"),
        (latency(QUIET[:49]), "doubtful", "samples: only 49"),
        (record("throughput", 9.0, "x"), "doubtful", "it is unknown how many samples it rests on"),
        (
            latency((*QUIET, 0.0)),
            "invalid",
            "samples that are not positive: 1 of 401; the clock is wrong",
        ),
        (
            latency(weights=""),
            "doubtful",
            "the weights are random, and what is found decides how long NMS takes",
        ),
        (
            latency(warnings=(Finding("busy_cpu", params={"cores": 1.0, "of": 2}),)),
            "doubtful",
            "other work used 1.0 of 2 CPU cores",
        ),
        (
            latency(warnings=(Finding("throttled", params={"reason": "power cap"}),)),
            "doubtful",
            "the GPU was throttled: power cap",
        ),
        (latency(warmup_runs=1), "doubtful", "warm-up runs: only 1"),
        (
            latency(ops="reference", device_type="cuda"),
            "doubtful",
            "on a GPU without compiled ops: the slow reference was timed",
        ),
        (
            latency(gpu_sm_clock_mhz_before=1980, gpu_sm_clock_mhz_after=1200),
            "doubtful",
            "the GPU's clock went from 1980 to 1200 MHz meanwhile",
        ),
        (
            record("macs_fvcore", math.nan, "cost", warnings=(Finding("not_traced"),)),
            "invalid",
            "it could not be measured",
        ),
        (
            record(
                "macs_fvcore",
                9.0,
                "cost",
                conditions={
                    "unsupported_ops": {"aten::scaled_dot_product_attention": 2, "aten::add": 1}
                },
            ),
            "doubtful",
            "the counter counts nothing for aten::scaled_dot_product_attention",
        ),
        (
            record("train_images_per_second", 7.0, "train", count=3),
            "doubtful",
            "steps: only 3",
        ),
        (
            record("train_wall_time", 7.0, "train", conditions={"sessions": 2}),
            "doubtful",
            "the training ran in 2 sessions",
        ),
        (
            record("", math.nan, "train", kind="cell", status="failed", error="out of memory"),
            "invalid",
            "train failed: out of memory",
        ),
    ],
)
def test_reasons(bad: Record, level: str, reason: str) -> None:
    found = judge(bad)
    assert found.level == level
    assert words(found.reasons)[0] == reason


@pytest.mark.parametrize(
    ("told", "remark"),
    [
        (
            record("macs_paper", 9.0, "cost", warnings=(FEWER,)),
            "proposals counted: 150; in the paper: 200",
        ),
        (latency(ops="reference"), "without compiled ops: the reference was timed"),
        (
            record("train_loader_wait", 0.5, "train"),
            "the loader set the pace of training, not the network",
        ),
    ],
)
def test_remarks_cast_no_doubt(told: Record, remark: str) -> None:
    found = judge(told)
    assert (found.level, found.reasons, words(found.remarks)) == ("valid", (), (remark,))


def drifts(samples: Floats) -> tuple[str, ...]:
    found = judge(latency(tuple(samples.tolist())))
    return words(tuple(one for one in found.reasons if one.code == "drift"))


def test_samples_that_drift_are_doubted() -> None:
    noise = np.random.default_rng(0).standard_normal(300)
    found = judge(latency(tuple((10 + np.linspace(0, 3, 300) + 0.05 * noise).tolist())))
    assert found.level == "doubtful"
    (doubt,) = [one for one in found.reasons if one.code == "autocorrelated"]
    assert doubt.params["count"] == 300
    assert doubt.params["effective"] < 20
    stepped = np.where(np.arange(300) < 200, 10, 12) + 0.05 * noise
    (reason,) = drifts(stepped)
    assert reason == "the samples drift: the last third is 20% slower than the first"
    (reason,) = drifts(stepped[::-1])
    assert reason == "the samples drift: the last third is 17% faster than the first"


def test_a_percentile_needs_samples_to_bound_it() -> None:
    p99 = latency(QUIET[:100], "latency_end_to_end_p99")
    assert words(judge(p99, QUIET[:100]).reasons) == (
        "100 samples do not bound it; that takes 368 independent ones",
    )
    assert judge(latency(QUIET, "latency_end_to_end_p99"), QUIET).level == "valid"
    assert judge(latency(QUIET[:100]), QUIET[:100]).level == "valid"


def test_few_samples_are_told_once() -> None:
    warning = Finding("few_samples", params={"count": 20})
    found = judge(latency(QUIET[:20], warnings=(warning,)))
    assert words(found.reasons) == ("samples: only 20",)


def test_of_one_code_the_gravest_counts() -> None:
    for first, second in (("doubtful", "invalid"), ("invalid", "doubtful")):
        found = Judgement.of([Finding("code", first), Finding("code", second)])  # type: ignore[arg-type]
        assert found.level == "invalid"
        assert found.reasons == (Finding("code", "invalid"),)
    assert Judgement.of([Finding("code", "remark")]) == Judgement(
        "valid", (), (Finding("code", "remark"),)
    )


def test_each_check_that_cannot_be_made_is_told() -> None:
    spec = MetricSpec("focus", checks=("nowhere:one", "nowhere:another"))
    found = validity.judge(record("focus", 1.0, "x"), spec)
    assert [one.params["check"] for one in found.remarks] == list(spec.checks)


def test_the_worst_reason_comes_first() -> None:
    found = judge(ap(weights="", images=10, boxes=3))
    assert found.level == "invalid"
    assert words(found.reasons) == (
        "the weights are random: the detector was not trained",
        "images: only 10",
        "objects: only 3",
    )


def test_samples_behind_a_percentile_stand_on_its_median() -> None:
    median, network = latency(), latency(QUIET[:60], "latency_network_p50")
    records = [network, median, latency(metric="latency_end_to_end_p99")]

    def behind(record: Record) -> tuple[float, ...]:
        return samples_behind(record, known_metrics().spec(record.metric), records)

    assert behind(records[-1]) == QUIET
    assert behind(latency(metric="throughput")) == QUIET
    assert behind(latency(metric="latency_network_spread")) == QUIET[:60]
    assert behind(latency(metric="latency_postprocessed_p90")) == ()
    assert behind(ap()) == ()


def test_a_mean_is_judged_by_its_worst_seed_and_told_the_lost_ones() -> None:
    spec = known_metrics().specs["ap"]
    few, lost = ap(images=9), record("ap", math.nan, "evaluate", seed=2)
    found = make_estimate(spec, [ap(), replace(few, seed=1), lost])
    assert (found.value, found.count) == (pytest.approx(0.3), 2)
    assert found.level == "doubtful"
    assert words(found.reasons) == ("images: only 9", "seed 2 has no number")
    alone = make_estimate(spec, [lost])
    assert (alone.level, words(alone.reasons)) == (
        "invalid",
        ("it could not be measured",),
    )
    assert math.isnan(alone.value)


def test_a_finished_run_is_judged_whole(copied: Path) -> None:
    run = read_run(copied)
    (name,) = run.detectors
    score = run.estimate(name, "ap")
    assert score.level == "doubtful"
    assert "images: only 4" in words(score.reasons)
    # two runs after one of warm-up
    assert run.estimate(name, "latency_end_to_end_p50").level == "invalid"
    assert run.estimate(name, "throughput").level == "invalid"
    assert run.estimate(name, "parameters").level == "valid"


@given(
    st.lists(st.floats(0.1, 1e3), max_size=120).map(tuple),
    st.sampled_from(["latency_network_p50", "latency_network_p90", "throughput"]),
)
def test_every_doubt_has_a_reason(samples: tuple[float, ...], metric: str) -> None:
    found = judge(latency(samples, metric), samples)
    assert found.level in LEVELS
    assert bool(found.reasons) == (found.level != "valid")
