"""A metric that an outside plugin declares, one whose plugin is gone, and one nobody declares."""

import json
from pathlib import Path

import numpy as np
import pytest
from making_folders import Measured, write_run
from making_sides import cell_of, lines_of, write_measured
from scipy import stats

from harness.plugin.catalog import Catalog
from harness.plugin.metrics import Finding, MetricSpec
from harness.records import layout
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import write_records
from harness.results.comparison import compare_sides
from harness.results.estimate import make_estimate
from harness.results.run import Run, known_metrics
from harness.results.run_folder import read_run
from harness.results.sides import read_sides
from harness.results.validity import judge

FOCUS = MetricSpec(
    "focus", "sharpness", "1", scale=100, shown_unit="%", digits=1, better="higher", kind="score",
    protocol=("images",), interval="bootstrap", checks=("nowhere.at.all:rule",),
)  # fmt: skip
POWER = MetricSpec(
    "power", unit="W", better="lower", interval="samples", percent=50, protocol=("device",)
)
PEAK = MetricSpec(
    "power_p90", unit="W", better="lower", interval="samples", percent=90, samples_of="power"
)
WEIGHTS = MetricSpec("shapes", unit="kB", better="lower", kind="size", interval="exact")
OUTSIDE = Catalog.of([FOCUS, POWER, PEAK, WEIGHTS], {"blurred": "{share:.0%} of it are blurred"})
IMAGES = 40


def per_image(mean: float, seed: int = 0) -> Measurement:
    """Values of images of which some are hard for everybody."""
    hard = np.random.default_rng(1).normal(0, 0.1, IMAGES)
    own = np.random.default_rng(seed).normal(0, 0.01, IMAGES)
    values = mean + hard - hard.mean() + own - own.mean()
    conditions = {"images": IMAGES, "annotations_sha256": "a"}
    return Measurement(
        FOCUS.name, float(values.mean()), count=IMAGES, samples=tuple(values.tolist()),
        conditions=conditions,
    )  # fmt: skip


def watts(level: float, seed: int = 0) -> tuple[Measurement, Measurement]:
    samples = level * np.random.default_rng(seed).uniform(0.98, 1.02, 80)
    p50, p90 = (float(np.percentile(samples, percent)) for percent in (50, 90))
    told = {"count": 80, "conditions": {"device": "d"}}
    return (
        Measurement(POWER.name, p50, samples=tuple(samples.tolist()), **told),
        Measurement(PEAK.name, p90, **told),
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    warned = Finding("blurred", params={"share": 0.25})
    measured: Measured = {
        ("a", 0): [per_image(0.5), *watts(20), Measurement(WEIGHTS.name, 5.0)],
        ("b", 0): [
            per_image(0.6, 2),
            *watts(30, 1),
            Measurement(WEIGHTS.name, 4.0, warnings=(warned,)),
        ],
    }
    return read_run(write_run(tmp_path / "run", measured, OUTSIDE))


def test_what_the_run_kept_says_what_it_is(run: Run) -> None:
    assert FOCUS.name not in known_metrics().specs
    assert run.spec(FOCUS.name) == FOCUS
    assert {spec.name for spec in run.metrics()} == set(OUTSIDE.specs)
    assert run.notes == ("plan.json does not say where the validation data is",)


def test_a_mean_over_images_has_an_interval_like_students(run: Run) -> None:
    found = run.estimate("a", FOCUS.name)
    values = np.array(found.samples)
    half = stats.t.ppf(0.975, IMAGES - 1) * values.std(ddof=1) / np.sqrt(IMAGES)
    assert found.value == pytest.approx(0.5)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.1 * half)


def test_two_means_are_paired_image_by_image(run: Run) -> None:
    found = run.difference("a", "b", FOCUS.name)
    assert found.verdict == "better"
    assert found.value == pytest.approx(0.1)
    pairs = [np.array(run.estimate(name, FOCUS.name).samples) for name in "ab"]
    half = 1.96 * (pairs[1] - pairs[0]).std(ddof=1) / np.sqrt(IMAGES)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)
    alone = run.estimate("a", FOCUS.name)
    assert found.high - found.low < 0.3 * (alone.high - alone.low)  # the images were hard for both
    back = run.difference("b", "a", FOCUS.name)
    assert (back.verdict, back.value, back.low) == (
        "worse",
        -found.value,
        pytest.approx(-found.high),
    )


def test_a_score_over_images_lies_between_0_and_1() -> None:
    values = (1.0,) * 7 + (0.9,)  # whose bootstrap, less its bias, goes a little beyond 1
    (record, _) = lines_of(
        [Measurement(FOCUS.name, float(np.mean(values)), samples=values)],
        OUTSIDE,
        **cell_of("r", "a"),
    )
    found = make_estimate(FOCUS, [record])
    assert found.low < found.value < found.high == 1
    amount = MetricSpec(FOCUS.name, unit="1", interval="bootstrap")
    assert make_estimate(amount, [record]).high > 1


def test_values_of_too_few_images_or_with_gaps_have_no_interval(tmp_path: Path) -> None:
    gap = Measurement(FOCUS.name, 0.5, samples=(0.5, float("nan"), *(0.5,) * 20))
    few = Measurement(FOCUS.name, 0.5, samples=(0.4, 0.5, 0.6))
    whole = per_image(0.5)
    read = read_run(
        write_run(
            tmp_path / "run", {("gap", 0): [gap], ("few", 0): [few], ("whole", 0): [whole]}, OUTSIDE
        )
    )
    assert not read.estimate("gap", FOCUS.name).has_interval
    assert not read.estimate("few", FOCUS.name).has_interval
    assert read.difference("gap", "gap", FOCUS.name).verdict == "unknown"
    (reason,) = read.difference("gap", "gap", FOCUS.name).reasons
    assert reason.code == "no_value_per_image"
    (reason,) = read.difference("few", "few", FOCUS.name).reasons
    assert reason.code == "few_images_for_interval"


def test_a_percentile_of_samples_has_an_interval_and_a_difference(run: Run) -> None:
    for metric in (POWER.name, PEAK.name):
        found = run.estimate("a", metric)
        assert 19.5 < found.low < found.value < found.high < 20.5
        difference = run.difference("a", "b", metric)
        assert difference.verdict == "worse"
        assert difference.ratio == pytest.approx(1.5, rel=0.01)
        assert difference.low < difference.value < difference.high


def test_what_is_exact_differs_by_any_amount(run: Run) -> None:
    found = run.estimate("a", WEIGHTS.name)
    assert (found.low, found.high, found.has_interval) == (5, 5, False)
    assert run.difference("a", "b", WEIGHTS.name).verdict == "better"
    assert run.difference("a", "a", WEIGHTS.name).verdict == "equal"


def test_its_protocol_keeps_numbers_apart(tmp_path: Path) -> None:
    (hot, _), (cold, _) = watts(20), watts(20)
    elsewhere = Measurement(
        POWER.name, cold.value, samples=cold.samples, conditions={"device": "e"}
    )
    read = read_run(write_run(tmp_path / "run", {("a", 0): [hot], ("b", 0): [elsewhere]}, OUTSIDE))
    found = read.difference("a", "b", POWER.name)
    assert found.verdict == "refused"
    assert [str(m) for m in found.mismatches] == ["device: d against e"]


def test_it_is_a_side_and_a_gate_like_any_other(run: Run) -> None:
    sides = read_sides([f"{run.folder}:a", f"{run.folder}:b"])
    rows = compare_sides(sides, ["focus", "shapes"]).rows
    assert [row.differences[0].verdict for row in rows] == ["better", "better"]
    assert rows[0].metric.title == "sharpness"


def test_a_check_that_cannot_be_imported_is_a_remark_and_nothing_is_lost(run: Run) -> None:
    found = run.estimate("a", FOCUS.name)
    assert found.level == "valid"
    (remark,) = found.remarks
    assert remark.code == "check_failed"
    assert run.catalog.word(remark).startswith(
        "a check of it could not be made (nowhere.at.all:rule: ModuleNotFoundError"
    )
    assert found.has_interval


def rude(record: Record, samples: object) -> list[str]:
    return ["not a Finding"]


def broken(record: Record, samples: object) -> list[Finding]:
    raise KeyError("it expected something else")


@pytest.mark.parametrize(
    ("check", "error"),
    [
        (f"{__name__}:rude", "TypeError"),
        (f"{__name__}:broken", "KeyError"),
        (f"{__name__}:missing", "AttributeError"),
    ],
)
def test_whatever_a_check_does_the_number_stays(check: str, error: str) -> None:
    spec = MetricSpec("focus", checks=(check, "harness_plugins.meters.checks:few_images"))
    measured = Measurement("focus", 0.5, conditions={"images": 9})
    (record, _) = lines_of([measured], Catalog.of([spec]), **cell_of("r", "a"))
    judged = judge(record, spec)
    assert [found.code for found in judged.reasons] == ["few_images"]
    (remark,) = judged.remarks
    assert remark.code == "check_failed"
    assert remark.params["check"] == check
    assert remark.params["error"].startswith(error)


def test_its_warnings_read_as_its_plugin_words_them(run: Run) -> None:
    (doubt,) = run.estimate("b", WEIGHTS.name).reasons
    assert run.catalog.word(doubt) == "25% of it are blurred"
    assert run.catalog.word(Finding("unheard_of", params={"a": 1})) == "unheard_of (a=1)"
    assert run.catalog.word(Finding("blurred")) == "blurred"  # without what its wording needs


def test_what_nobody_declares_is_shown_as_recorded_with_one_note(tmp_path: Path) -> None:
    odd = [Measurement(name, value) for name, value in (("odour", 3.0), ("noise_level", 4.0))]
    strange = Catalog.of(
        [MetricSpec("odour", unit="OU", better="lower"), MetricSpec("noise_level", unit="dB")]
    )
    folder = write_run(tmp_path / "run", {("a", 0): odd, ("b", 0): odd}, strange)
    plan = json.loads((folder / layout.PLAN).read_text())
    (folder / layout.PLAN).write_text(json.dumps({**plan, "metrics": Catalog().to_json()}))
    read = read_run(folder)
    (note,) = [note for note in read.notes if "declares" in note]
    assert note == (
        "nobody declares what noise_level, odour is: shown as recorded (is its plugin installed?)"
    )
    assert read.spec("odour") == MetricSpec("odour", unit="OU", better="lower")
    assert read.spec("noise_level").higher_is_better is None
    assert read.estimate("a", "odour").value == 3
    assert read.difference("a", "b", "odour").verdict == "unknown"


def test_so_is_it_of_records_by_themselves(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    lines = lines_of(
        [Measurement("odour", 3.0)],
        Catalog.of([MetricSpec("odour", unit="OU", better="lower")]),
        **cell_of("run", "a"),
    )
    write_records(folder, lines)
    (side, _) = read_sides([str(folder), str(write_measured(tmp_path / "other", {"a": []}))])
    assert side.estimates["a"]["odour"].metric.unit == "OU"
    assert sum("nobody declares what odour is" in note for note in side.notes) == 1
