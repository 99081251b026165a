"""A run, `compare` and a gate give one answer about two detectors, whatever was recorded."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from making_folders import Measured, write_run, write_scored_run
from making_sides import LATENCY, analysis, sampled, samples_of

from harness.plugin.catalog import Catalog
from harness.plugin.metrics import MetricSpec
from harness.records.measurement import Measurement
from harness.report.compare_page import render_comparison
from harness.report.format import WORDS, change
from harness.report.sections import pairs
from harness.report.sections.pairs import square
from harness.results.comparison import Row, compare_sides
from harness.results.difference import Verdict
from harness.results.gates import parse_gate
from harness.results.ranking import rankings
from harness.results.run import Run, known_metrics
from harness.results.run_folder import read_run
from harness.results.sides import Side, read_sides
from harness.results.tables import collect

RANDOM = range(8)
P90, COUNT, SCORE = "latency_end_to_end_p90", "macs_paper", "ap"
BLUR = MetricSpec("blur", unit="px", better="lower", interval="bootstrap")
CATALOG = known_metrics().joined(Catalog.of([BLUR]))
METRICS = (LATENCY, P90, COUNT, SCORE, BLUR.name)


@dataclass(frozen=True)
class Answer:
    """What is said of a difference; equal by `repr`, as NaN is not equal to itself."""

    verdict: Verdict
    value: float
    ratio: float
    low: float
    high: float


def run_says(run: Run, base: str, other: str, metric: str) -> Answer:
    found = run.difference(base, other, metric)
    return Answer(found.verdict, found.value, found.ratio, found.low, found.high)


def compare_says(run: Run, base: str, other: str, metric: str) -> Answer:
    found = _row(run, base, other, metric).differences[0]
    return Answer(found.verdict, found.value, found.ratio, found.low, found.high)


# Whoever shows a difference stands here with what it shows, such as the page.
TOLD: tuple[Callable[[Run, str, str, str], Answer], ...] = (compare_says,)


def _row(run: Run, base: str, other: str, metric: str) -> Row:
    sides = read_sides([f"{run.folder}:{base}", f"{run.folder}:{other}"])
    (row,) = compare_sides(sides, [metric]).rows
    return row


def gate_lines(run: Run, base: str, other: str, metric: str, *limits: str) -> list[tuple[str, str]]:
    sides = read_sides([f"{run.folder}:{base}", f"{run.folder}:{other}"])
    found = compare_sides(
        sides, [metric], gates=[parse_gate(f"{metric} <= {limit}") for limit in limits]
    ).gates
    return [(result.verdict, result.line) for result in found]


def times(rng: np.random.Generator, level: float) -> tuple[float, ...]:
    """Of one process: noise, and in some a drift or a burst."""
    count = int(rng.integers(4, 90))
    noise = 1 + rng.choice([0.002, 0.02, 0.1]) * rng.standard_normal(count)
    drift = np.linspace(0, rng.choice([0, 0, 0.3]), count)
    burst = np.where(np.arange(count) > rng.integers(0, 2 * count), 0.5, 0)
    return tuple((level * np.clip(noise + drift + burst, 0.01, None)).tolist())


def measure(rng: np.random.Generator, level: float, device: str) -> list[Measurement]:
    """One detector under one seed; a seed's level steps away from the detector's."""
    samples = times(rng, level * float(rng.choice([1, 1, 1.02, 1.5])))
    given = {"count": len(samples), "conditions": {"device": device}}
    blurs = rng.gamma(2, level, 40)
    lost = rng.random() < 0.1
    median, p90 = (float(np.percentile(samples, percent)) for percent in (50, 90))
    return [
        Measurement(LATENCY, np.nan if lost else median, samples=samples, **given),
        Measurement(P90, p90, **given),
        Measurement(COUNT, float(rng.choice([100, 200, level]))),
        Measurement(BLUR.name, float(blurs.mean()), samples=tuple(blurs.tolist())),
    ]


def make_random(folder: Path, number: int) -> Run:
    """A run folder of 2 to 4 detectors of 1 to 4 seeds each, read back, with analyses of AP."""
    rng = np.random.default_rng(number)
    measured: Measured = {}
    analyses = {}
    for detector in "abcd"[: rng.integers(2, 5)]:
        level = float(rng.choice([10, 10.1, 12, 20]))
        device = "cuda" if rng.random() < 0.1 else "cpu"
        score = float(rng.uniform(0.2, 0.5))
        pairing = "other" if rng.random() < 0.1 else "same"
        for seed in range(rng.integers(1, 5)):
            of = sampled(
                score + rng.normal(0, 0.02), rng.choice([0.002, 0.03]), int(rng.integers(99))
            )
            made = measure(rng, level, device)
            if rng.random() < 0.95:
                analyses[detector, seed] = analysis({SCORE: of}, pairing)
            measured[detector, seed] = [*made, Measurement(SCORE, of.value)]
    run = read_run(write_run(folder, measured, CATALOG))
    return replace(run, analyses=analyses)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Lets sides be read from the folder with analyses that no detections lie behind."""

    def install(run: Run) -> None:
        monkeypatch.setattr("harness.results.sides.open_run", lambda *_, **__: run)

    return install


def agree(run: Run, base: str, other: str, metric: str) -> Answer:
    """Asserts that all say what the run says."""
    said = run_says(run, base, other, metric)
    for tell in TOLD:
        assert repr(tell(run, base, other, metric)) == repr(said), (tell.__name__, metric)
    if said.verdict in ("refused", "invalid", "missing") or np.isnan(said.ratio):
        ((verdict, _),) = gate_lines(run, base, other, metric, "1x")
        assert verdict == "not evaluable"
        return said
    within, beyond = f"{1.01 * said.ratio!r}x", f"{0.99 * said.ratio!r}x"
    (kept, line), (broken, _) = gate_lines(run, base, other, metric, within, beyond)
    assert kept == "passed"
    real = said.verdict in ("better", "worse", "changed", "unknown")
    assert broken == ("missed" if real else "passed")
    shown = f"passed: {said.ratio:.3f}x"
    if said.low < said.high:
        start = run.estimate(base, metric).value
        shown += f" [{1 + said.low / start:.3f}, {1 + said.high / start:.3f}]"
    assert re.search(re.escape(shown) + r"(,|$)", line), line
    return said


@pytest.mark.slow
@pytest.mark.parametrize("number", RANDOM)
def test_all_say_the_same_of_random_records(
    tmp_path: Path, number: int, reading: Callable[[Run], None]
) -> None:
    run = make_random(tmp_path / "run", number)
    reading(run)
    for base in run.detectors:
        for other in run.detectors:
            if base != other:
                for metric in METRICS:
                    agree(run, base, other, metric)


@pytest.mark.slow
def test_random_records_have_every_verdict(tmp_path: Path) -> None:
    """Else the test above would say less than it seems to."""
    runs = [make_random(tmp_path / str(number), number) for number in RANDOM]
    found = {
        run.difference(base, other, metric).verdict
        for run in runs
        for base in run.detectors
        for other in run.detectors
        for metric in METRICS
    }
    # of metrics that have neither a good nor a bad side there are none here
    assert found == {
        "better", "worse", "equal", "noise", "unknown", "refused", "invalid", "missing"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("base", "other", "ratio"),
    [
        ((10.0, 10.2, 15.0), (12.0, 12.1, 12.2), 12.1 / (35.2 / 3)),
        ((10.0, 10.1, 14.0), (11.0, 11.1, 11.2), 11.1 / (34.1 / 3)),
    ],
)
def test_the_ratio_is_that_of_the_means_that_are_shown(
    tmp_path: Path, base: tuple[float, ...], other: tuple[float, ...], ratio: float
) -> None:
    """1.03 and 0.977; the medians of all samples taken together say 1.19 and 1.10."""
    measured = {
        (name, seed): [
            Measurement(
                LATENCY, median, count=60, samples=samples_of(median, 60, seed),
                conditions={"device": "cpu"},
            )
        ]
        for name, medians in (("a", base), ("b", other))
        for seed, median in enumerate(medians)
    }  # fmt: skip
    run = read_run(write_run(tmp_path / "run", measured))
    said = agree(run, "a", "b", LATENCY)
    assert said.ratio == pytest.approx(ratio)
    assert said.verdict == "noise"
    assert said.low < said.value < said.high
    assert run.estimate("b", LATENCY).value / run.estimate("a", LATENCY).value == said.ratio


def test_so_it_is_of_detections_that_are_scored_again(tmp_path: Path) -> None:
    skills = {("a", 0): 0.3, ("a", 1): 0.35, ("b", 0): 0.9, ("b", 1): 0.95, ("c", 0): 0.32}
    run = read_run(write_scored_run(tmp_path / "run", skills))
    assert len(run.analyses) == 5
    for metric in ("ap", "ar_10"):
        said = agree(run, "a", "b", metric)
        assert said.verdict == "better"
        assert said.low < said.value < said.high
    assert agree(run, "b", "a", "ap").verdict == "worse"
    assert agree(run, "a", "c", "ap").verdict == "noise"


def test_an_export_has_the_intervals_of_the_run(tmp_path: Path) -> None:
    run = read_run(write_scored_run(tmp_path / "run", {("a", 0): 0.6, ("b", 0): 0.8}))
    table, _ = collect(run.folder)
    whole = table[table["scope"] == ""]
    assert set(whole["detector"]) == {"a", "b"}
    for row in whole.itertuples():
        found = run.estimate(row.detector, row.metric)
        if found.has_interval:
            assert (row.low, row.high, row.value) == (found.low, found.high, found.value)
    assert whole["low"].notna().sum() >= 10


@pytest.mark.slow
def test_pages_show_what_the_run_says(tmp_path: Path, reading: Callable[[Run], None]) -> None:
    """Of every pair and metric on the page of a comparison, of scores on the run's page too."""
    for number in RANDOM:
        run = make_random(tmp_path / str(number), number)
        reading(run)
        base, other = run.detectors[:2]
        rows = {row.metric.name: row for row in _rows(run, base, other)}
        page = render_comparison(compare_sides(_sides(run, base, other), METRICS))
        cells = re.findall(r'<td class="change (\w+)" data-value="([^"]*)"', page)
        assert len(cells) == len(rows) >= len(METRICS) - 1
        for (verdict, shown), (metric, row) in zip(cells, rows.items(), strict=True):
            said = run.difference(base, other, metric)
            assert verdict == said.verdict
            assert shown in (change(row.metric, row.values[0], said), WORDS[said.verdict])
        _check_pairs(run)
        for ranking in rankings(run):
            for rival, held in ranking.rivals:
                said = run.difference(rival.detector, ranking.best.detector, ranking.metric.name)
                assert held.value == said.value or np.isnan(said.value)
                assert held.verdict in (said.verdict, "noise"), "only Holm takes something back"


def _check_pairs(run: Run) -> None:
    spec = run.spec(SCORE)
    found = square(run, spec)
    page = str(pairs.build(run) or "")
    cells = iter(
        re.findall(r'<td class="(\w+)" title="[^"]*"><span class="shown">(.*?)</td>', page)
    )
    for name, _ in found.rows if len(found.rows) > 1 else ():
        for rival in found.names:
            if rival != name:
                verdict, text = next(cells)
                said = run.difference(rival, name, SCORE)
                assert verdict == said.verdict
                assert change(spec, 1.0, said) in text


def _sides(run: Run, base: str, other: str) -> tuple[Side, ...]:
    return read_sides([f"{run.folder}:{base}", f"{run.folder}:{other}"])


def _rows(run: Run, base: str, other: str) -> tuple[Row, ...]:
    return compare_sides(_sides(run, base, other), METRICS).rows
