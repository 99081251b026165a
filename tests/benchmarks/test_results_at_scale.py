"""Reading runs of the size of COCO, and a page of many detectors.

Goals on 2 cores: `harness compare` of two runs of 5,000 images x 80 classes within 20 s, and 2 s
once they are analysed; a page of 20 detectors x 3 seeds x 4 modes within 30 s, 6 MB and 2 GB, which
opens within 2 s. Run with: pytest tests/benchmarks/test_results_at_scale.py --benchmark-only -s
"""

import json
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.plugin.metrics import Finding
from harness.records import layout
from harness.records.record import Record
from harness.records.store import write_records
from harness.report.page import render_page
from harness.results.ap.types import CellAnalysis
from harness.results.run import Run, known_metrics
from harness.results.run_folder import read_run
from harness.stages.scoring import read_ground_truth

IMAGES, CLASSES, OBJECTS, DETECTIONS = 5_000, 80, 7, 100
DETECTORS, SEEDS, MODES = 20, 3, 4
MOST_BYTES, MOST_KIB = 6_000_000, 2 * 2**20


def draw_data(folder: Path, rng: np.random.Generator) -> Path:
    """Annotations as many as COCO's val2017 has, of all sizes."""
    (folder / "val").mkdir(parents=True)
    count = IMAGES * OBJECTS
    size = np.exp(rng.normal(3.7, 1.0, (count, 2))).clip(4, 400)
    corner = rng.uniform(0, 1, (count, 2)) * (np.array([640, 480]) - size.clip(max=400))
    boxes = np.concatenate([corner.clip(min=0), size], 1).round(2)
    document = {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "width": 640, "height": 480}
            for n in range(1, IMAGES + 1)
        ],
        "categories": [{"id": n, "name": f"class {n}"} for n in range(1, CLASSES + 1)],
        "annotations": [
            {"id": n + 1, "image_id": n // OBJECTS + 1, "category_id": int(category),
             "bbox": box, "area": round(box[2] * box[3], 2), "iscrowd": 0}
            for n, (category, box) in enumerate(
                zip(rng.integers(1, CLASSES + 1, count), boxes.tolist(), strict=True)
            )
        ],
    }  # fmt: skip
    path = folder / "instances_val.json"
    path.write_text(json.dumps(document))
    return path


def write_run(folder: Path, annotations: Path, noise: float, rng: np.random.Generator) -> Path:
    """A run of one detector whose detections are its objects, moved, and false ones."""
    truth = read_ground_truth(annotations)
    cell = layout.cell_folder(folder, "made", 0)
    cell.mkdir(parents=True)
    found = []
    for entry in truth.annotations:
        x, y, w, h = entry["bbox"]
        dx, dy = rng.normal(0, noise, 2) * (w, h)
        found.append((entry["image_id"], entry["category_id"], [x + dx, y + dy, w, h], 0.9))
    false = IMAGES * (DETECTIONS - OBJECTS)
    places = rng.uniform(0, 300, (false, 2)).round(2)
    sizes = rng.uniform(5, 200, (false, 2)).round(2)
    labels = rng.integers(1, CLASSES + 1, false)
    scores = rng.uniform(0, 0.6, false).round(4)
    for n in range(false):
        box = [*places[n].tolist(), *sizes[n].tolist()]
        found.append((n % IMAGES + 1, int(labels[n]), box, float(scores[n])))
    keys = ("image_id", "category_id", "bbox", "score")
    (cell / layout.DETECTIONS).write_text(
        json.dumps([dict(zip(keys, entry, strict=True)) for entry in found])
    )
    common: dict[str, Any] = {
        "run": folder.name, "detector": "made", "seed": 0, "stage": "evaluate",
        "fingerprint": "f", "environment": "e", "weights": "w", "time": 1.7e9,
    }  # fmt: skip
    conditions = {"annotations_sha256": truth.sha256, "images": IMAGES, "max_detections": 100}
    score = Record(
        kind="measurement", metric="ap", value=0.4, unit="AP", conditions=conditions, **common
    )
    write_records(folder, [score, Record(kind="cell", **common)])
    plan = {
        "format": layout.FORMAT, "suite": "made", "profile": "quick", "fingerprint": "f",
        "data": {"use": "coco"}, "data_name": "made", "data_fingerprint": "d",
        "classes": list(truth.categories.values()), "evaluate": {"max_images": None},
        "detectors": {"made": {"parts": {}}}, "columns": ["ap"], "report": {}, "cells": [],
        "splits": {"val": {"images": str(annotations.parent / "val"),
                           "annotations": str(annotations)}},
        "metrics": known_metrics().to_json(),
    }  # fmt: skip
    (folder / layout.PLAN).write_text(json.dumps(plan))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("coco")
    rng = np.random.default_rng(0)
    annotations = draw_data(folder, rng)
    one, two = (write_run(folder / n, annotations, s, rng) for n, s in (("a", 0.1), ("b", 0.12)))
    return one, two


def compare(runs: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "harness", "compare", *map(str, runs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "▼" in done.stdout


def forget(runs: tuple[Path, Path]) -> None:
    for run in runs:
        for kept in run.rglob("analysis.*"):
            kept.unlink()


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_compare(benchmark: BenchmarkFixture, runs: tuple[Path, Path], state: str) -> None:
    if state == "warm":
        compare(runs)
    setup = (lambda: forget(runs)) if state == "cold" else None
    benchmark.pedantic(compare, (runs,), setup=setup, rounds=3, iterations=1)
    kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    benchmark.extra_info["peak_mib"] = round(kib / 1024)
    assert kib < MOST_KIB


@pytest.fixture(scope="module")
def many(runs: tuple[Path, Path]) -> Run:
    """A run of many detectors, made from the analysis of one."""
    run = read_run(runs[0])
    analysis: CellAnalysis = run.analyses["made", 0]
    names = [f"detector_{n:02}" for n in range(DETECTORS)]
    rng = np.random.default_rng(1)
    catalog = known_metrics()
    records = []
    for place, name in enumerate(names):
        for seed in range(SEEDS):
            records += _cells(catalog, run, name, place, seed, rng)
    return Run(
        folder=run.folder,
        plan={**run.plan, "detectors": {name: {"parts": {}} for name in names},
              "columns": ["ap", "ap_small", "macs_paper", "latency_end_to_end_p50"]},
        records=tuple(records),
        catalog=catalog,
        analyses={(name, seed): analysis for name in names for seed in range(SEEDS)},
        truth=run.truth,
        annotations=run.annotations,
    )  # fmt: skip


def _cells(
    catalog: Any, run: Run, name: str, place: int, seed: int, rng: np.random.Generator
) -> list[Record]:
    common = {"run": "many", "detector": name, "seed": seed, "fingerprint": "f", "time": 1.7e9,
              "environment": "e", "weights": "w"}  # fmt: skip
    made = []

    def add(stage: str, mode: str, numbers: dict[str, tuple[float, tuple[float, ...]]]) -> None:
        scope = f"mode/{mode}" if mode not in ("", "eager") else ""
        for metric, (value, samples) in numbers.items():
            spec = catalog.spec(metric)
            made.append(Record(
                kind="measurement", stage=stage, mode=mode, metric=metric, value=value,
                unit=spec.unit, higher_is_better=spec.higher_is_better, samples=samples,
                count=len(samples) or None, scope=scope, conditions={"images": IMAGES},
                warnings=(Finding("busy_cpu", params={"cores": 1.0, "of": 2}),) * bool(samples),
                **common,
            ))  # fmt: skip
        made.append(Record(kind="cell", stage=stage, mode=mode, **common))

    score = 0.2 + 0.01 * place
    add("evaluate", "", dict.fromkeys(("ap", "ap50", "ap_small"), (score, ())))
    add("cost", "", {"macs_paper": (100.0 * (place + 1), ()), "parameters": (1.0 + place, ())})
    for number, mode in enumerate(("eager", "fused", "compiled", "eager-bfloat16")[:MODES]):
        times = tuple(((10 + place) / (number + 1) * rng.lognormal(0, 0.05, 100)).tolist())
        kinds = ("network", "postprocessed", "end_to_end")
        add("latency", mode, {f"latency_{k}_p50": (float(np.median(times)), times) for k in kinds})
    return made


def test_page(benchmark: BenchmarkFixture, many: Run, tmp_path: Path) -> None:
    def fresh() -> tuple[tuple[Run], dict[str, Any]]:
        return (replace(many),), {}  # without what it has made already

    page = benchmark.pedantic(render_page, setup=fresh, rounds=3, iterations=1)
    benchmark.extra_info["mb"] = round(len(page.encode()) / 1e6, 2)
    assert len(page.encode()) < MOST_BYTES
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    _time_opening(benchmark, tmp_path / "report.html")


def _time_opening(benchmark: BenchmarkFixture, path: Path) -> None:
    """Milliseconds until the browser has loaded the page, figures not yet drawn."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = chromium.new_page()
        page.goto(path.as_uri())
        timing = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        benchmark.extra_info["opens_ms"] = round(page.evaluate(timing))
        chromium.close()
