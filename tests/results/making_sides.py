"""Figures, sides and records whose differences are known on paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import RecordStore
from harness.results.ap.types import CellAnalysis, Estimate
from harness.results.types import Figure, Side

AP_CONDITIONS = {"annotations_sha256": "a" * 64, "images": 50, "evaluator": "coco"}
LATENCY = "latency_end_to_end_p50"


def analysis(value: float, spread: float, seed: int = 0, pairing: str = "same") -> CellAnalysis:
    """AP of `value` whose replicates have a standard deviation of `spread` of their own."""
    draws = np.random.default_rng(seed).normal(value, spread, 400)
    return CellAnalysis(
        pairing=pairing,
        images=50,
        resamples=400,
        metrics={"ap": Estimate(value, value - 2 * spread, value + 2 * spread, 100, 50)},
        replicates={"ap": tuple(draws.tolist())},
        classes={},
        curves={},
        recall=(),
        precision={},
        errors=(),
        misses=(),
    )


def ap(value: float, spread: float | None = None, seed: int = 0, **conditions: Any) -> Figure:
    """AP with an analysis of that spread, or none."""
    analyses = () if spread is None else (analysis(value, spread, seed),)
    return Figure("ap", "AP", True, (value,), (), {**AP_CONDITIONS, **conditions}, analyses)


def latency(median: float, count: int = 60, seed: int = 0, **conditions: Any) -> Figure:
    """Samples within 1 % of a median."""
    draws = np.random.default_rng(seed).uniform(0.99, 1.01, count)
    samples = tuple((median * draws / np.median(draws)).tolist()) if count else ()
    return Figure(LATENCY, "ms", False, (median,), samples, {"device": "cpu", **conditions})


def exact(value: float, metric: str = "macs_paper", unit: str = "MMACs") -> Figure:
    return Figure(metric, unit, False, (value,))


def side(name: str, **detectors: Sequence[Figure]) -> Side:
    figures = {d: {f.metric: f for f in given} for d, given in detectors.items()}
    return Side(name, f"{name}/path", figures)


def write_records(
    folder: Path, measured: Mapping[str, Sequence[Measurement]], time: float = 1e9
) -> Path:
    """A run folder with records only: detector -> what was measured of it."""
    folder.mkdir(parents=True)
    lines = []
    for detector, measurements in measured.items():
        cell = {
            "run": folder.name,
            "detector": detector,
            "seed": 0,
            "stage": "measure",
            "fingerprint": "f",
            "time": time,
            "environment": "e",
            "weights": "w",
        }
        lines += [Record.of(m, **cell) for m in measurements]
        lines.append(Record(kind="cell", **cell))
    RecordStore(folder / "records.jsonl").append(lines)
    return folder


def timed(median: float, count: int = 60, **conditions: Any) -> Measurement:
    """A latency as a meter measures it."""
    figure = latency(median, count, **conditions)
    return Measurement(
        LATENCY, median, "ms", False, count=count, samples=figure.samples,
        conditions=figure.conditions,
    )  # fmt: skip


def counted(value: float) -> Measurement:
    return Measurement("macs_paper", value, "MMACs", False)
