"""Estimates, sides and run folders whose differences are known on paper."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.plugin.catalog import Catalog
from harness.plugin.metrics import Finding, MetricSpec
from harness.records import layout
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import write_records
from harness.results.ap.paired import over_seeds
from harness.results.ap.types import CellAnalysis, Sampled
from harness.results.estimate import Estimate
from harness.results.run import known_metrics
from harness.results.samples.percentiles import percentile_interval
from harness.results.sides import Side

AP_CONDITIONS = {"annotations_sha256": "a" * 64, "images": 50, "evaluator": "coco"}
LATENCY = "latency_end_to_end_p50"
# findings as the meters word them, for tests of what becomes of a doubt
FEW_IMAGES = Finding("few_images", params={"images": 9})
DRIFT = Finding("drift", params={"change": 0.2, "way": "slower"})
UNTRAINED = Finding("untrained", "invalid")


def spec(metric: str) -> MetricSpec:
    return known_metrics().spec(metric)


def sampled(value: float, spread: float, seed: int = 0) -> Sampled:
    """A score of 50 images whose draws have a standard deviation of `spread` of their own."""
    return Sampled(value, np.random.default_rng(seed).normal(value, spread, 400), 100, 50)


def analysis(metrics: Mapping[str, Sampled], pairing: str = "same") -> CellAnalysis:
    """Scores on resampled images, and nothing else."""
    return CellAnalysis(
        pairing=pairing, metrics=metrics, classes={}, curves={},
        recall=(), precision={}, errors=(), misses=(),
    )  # fmt: skip


def ap(value: float, spread: float | None = None, seed: int = 0, **conditions: Any) -> Estimate:
    """AP of one seed, with draws of that spread or none."""
    parts = () if spread is None else (sampled(value, spread, seed),)
    return ap_of(parts, value, **conditions)


def ap_of(parts: Sequence[Sampled], value: float | None = None, **conditions: Any) -> Estimate:
    """AP of several seeds, or one without draws."""
    low, high = over_seeds(parts).interval if parts else (np.nan, np.nan)
    seeds = [part.value for part in parts] if value is None else [value]
    return Estimate(
        spec("ap"),
        float(np.mean(seeds)),
        low,
        high,
        seeds=dict(enumerate(seeds)),
        sampled=tuple(parts),
        pairing="same" if parts else "",
        conditions={**AP_CONDITIONS, **conditions},
        detector="d",
    )


def samples_of(median: float, count: int = 60, seed: int = 0) -> tuple[float, ...]:
    """Within 1 % of a median."""
    draws = np.random.default_rng(seed).uniform(0.99, 1.01, count)
    return tuple((median * draws / np.median(draws)).tolist()) if count else ()


def latency(median: float, count: int = 60, seed: int = 0, **conditions: Any) -> Estimate:
    samples = samples_of(median, count, seed)
    low, high = percentile_interval(samples, 50)
    return Estimate(
        spec(LATENCY), median, low, high, seeds={0: median}, samples=samples,
        conditions={"device": "cpu", **conditions}, detector="d",
    )  # fmt: skip


def exact(value: float, metric: str = "macs_paper") -> Estimate:
    return Estimate(spec(metric), value, value, value, seeds={0: value}, detector="d")


def side(name: str, **detectors: Sequence[Estimate]) -> Side:
    estimates = {d: {one.metric.name: one for one in given} for d, given in detectors.items()}
    return Side(name, f"{name}/path", estimates)


def cell_of(run: str, detector: str, seed: int = 0, stage: str = "measure") -> dict[str, Any]:
    """Where a record comes from."""
    return {
        "run": run,
        "detector": detector,
        "seed": seed,
        "stage": stage,
        "fingerprint": "f",
        "time": 1e9,
        "environment": "e",
        "weights": "w",
    }


def lines_of(
    measured: Sequence[Measurement], catalog: Catalog | None = None, **cell: Any
) -> list[Record]:
    """Records of one cell, closed."""
    known = known_metrics() if catalog is None else catalog
    lines = [Record.of(m, known.spec(m.metric), **cell) for m in measured]
    return [*lines, Record(kind="cell", **cell)]


def write_measured(
    folder: Path, measured: Mapping[str, Sequence[Measurement]], time: float = 1e9
) -> Path:
    """A run folder with records only: detector -> what was measured of it."""
    folder.mkdir(parents=True)
    lines = []
    for detector, measurements in measured.items():
        lines += lines_of(measurements, **{**cell_of(folder.name, detector), "time": time})
    write_records(folder, lines)
    return folder


def write_plan(folder: Path, detectors: Sequence[str], catalog: Catalog, **more: Any) -> None:
    """A plan.json for a folder of records, of no data."""
    plan = {
        "format": layout.FORMAT,
        "suite": "made",
        "profile": "quick",
        "detectors": {name: {} for name in detectors},
        "data": {},
        "data_fingerprint": "",
        "evaluate": {"max_images": None},
        "cells": [],
        "classes": [],
        "metrics": catalog.to_json(),
        **more,
    }
    (folder / layout.PLAN).write_text(json.dumps(plan))


def timed(median: float, count: int = 60, seed: int = 0, **conditions: Any) -> Measurement:
    """A latency as a meter measures it."""
    return Measurement(
        LATENCY, median, count=count, samples=samples_of(median, count, seed),
        conditions={"device": "cpu", **conditions},
    )  # fmt: skip


def counted(value: float) -> Measurement:
    return Measurement("macs_paper", value)
