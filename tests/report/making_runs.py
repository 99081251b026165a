"""A run folder and its `Run` by hand: made-up numbers, drawn images, no training.

It has what no real run has within a second: several detectors and seeds, and long latencies.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from making_analyses import PER_CLASS, class_score, make_analysis
from PIL import Image

from harness.plan.cells import split_mode
from harness.plugin.catalog import Catalog
from harness.records import layout
from harness.records.record import Record
from harness.results.run import Run, known_metrics
from harness.stages.inputs import GroundTruth
from harness.stages.scoring import read_ground_truth

DETECTORS = {"tinydet_s": 0.30, "tinydet_m": 0.34, "tinydet_l": 0.345, "ssdlite320": 0.24}
CLASSES = ("RBC", "WBC", "Platelets")
STAGES = ("train", "evaluate", "cost", "latency")
COLUMNS = ("ap", "ap_small", "macs_paper", "parameters", "latency_end_to_end_p50")
ROLES = {"backbone": 0.6, "neck": 0.2, "rpn": 0.05, "box_head": 0.15}
# Mode -> its time as a multiple of eager's.
SPEEDS = {
    "eager": 1.0,
    "eager-bfloat16": 1.3,
    "fused": 1.001,
    "compiled": 0.5,
    "compiled-bfloat16": 0.25,
    "onnxruntime-int8": 0.3,
}
ENVIRONMENT = "0123456789ab"
NOON = 1_700_000_000.0


def make_run(
    folder: Path,
    *,
    detectors: Mapping[str, float] = DETECTORS,
    seeds: Sequence[int] = (0, 1),
    classes: Sequence[str] = CLASSES,
    images: int = 16,
    analysed: bool = True,
    modes: Sequence[str] = ("eager",),
    published: Sequence[Mapping[str, Any]] = (),
    catalog: Catalog | None = None,
    more: Iterable[Record] = (),
    detectors_of_plan: Mapping[str, Any] | None = None,
    **plan: Any,
) -> Run:
    """A finished run of `detectors`, name -> AP.

    Args:
        folder: to be made; plan, images, annotations and detections are files in it.
        analysed: False for a run that cannot be scored again.
        modes: of the latencies; see `SPEEDS`. A mode that is not in it has failed.
        catalog: the metrics, by default all that are installed.
        more: records beyond those of a run, such as a plugin's (`record_of`).
        detectors_of_plan: in place of what the plan says of them.
        plan: other keys of plan.json to replace.
    """
    catalog = known_metrics() if catalog is None else catalog
    truth = _draw_images(folder / "data", images, classes)
    cells = [
        {
            "detector": name,
            "seed": seed,
            "stage": stage,
            "fingerprint": f"f-{name}-{seed}-{stage}-{mode}",
            "mode": mode,
        }
        for name in detectors
        for seed in seeds
        for stage in STAGES
        for mode in (modes if stage == "latency" else ("",))
    ]
    records = [r for cell in cells for r in _records(cell, detectors, truth, classes)]
    metrics = {"format": layout.FORMAT, "metrics": catalog.to_json()}
    own = {"detectors": detectors_of_plan} if detectors_of_plan else {}
    written = {**_plan(folder, detectors, classes, cells, published), **metrics, **own, **plan}
    (folder / layout.PLAN).write_text(json.dumps(written))
    _write_detections(folder, detectors, seeds, truth)
    analyses = {
        (name, seed): make_analysis(
            ap + 0.004 * k, classes, truth.image_ids, seed=100 * k + i, noise=0.01
        )
        for i, (name, ap) in enumerate(detectors.items())
        for k, seed in enumerate(seeds)
    }
    return Run(
        folder=folder,
        plan=json.loads((folder / layout.PLAN).read_text()),
        records=(*more, *records),  # those of a cell before its end
        catalog=catalog,
        environments={ENVIRONMENT: _environment()},
        analyses=analyses if analysed else {},
        training={(name, seed): tuple(_training(seed)) for name in detectors for seed in seeds},
        truth=truth,
        images=folder / "data" / "val",
        annotations=folder / "data" / "instances_val.json",
        notes=() if analysed else ("no intervals: the annotation file has changed since",),
    )


def record_of(detector: str, metric: str, value: float, **given: Any) -> Record:
    """A further measurement of a made run, by default of seed 0's latency stage."""
    stage, seed = given.pop("stage", "latency"), given.pop("seed", 0)
    cell = {"detector": detector, "seed": seed, "stage": stage, **_common(0)}
    mode = "eager" if stage == "latency" else ""
    fingerprint = f"f-{detector}-{seed}-{stage}-{mode}"
    own = {"fingerprint": fingerprint, "mode": mode, "metric": metric, "value": value}
    return Record(kind="measurement", **{**cell, **own, **given})


def _common(rank: int) -> dict[str, Any]:
    return {
        "run": "made",
        "time": NOON + 60 * rank,
        "environment": ENVIRONMENT,
        "weights": "abcdef0123456789",
    }


def _records(
    cell: Mapping[str, Any],
    detectors: Mapping[str, float],
    truth: GroundTruth,
    classes: Sequence[str],
) -> Iterator[Record]:
    rank = list(detectors).index(cell["detector"])
    ap = detectors[cell["detector"]] + 0.004 * cell["seed"]
    common = {**cell, **_common(rank)}
    place = {"device_type": "cpu", "ops": "compiled-cpu", "precision": "float32"}

    def of(metric: str, value: float, unit: str, better: bool | None, **more: Any) -> Record:
        conditions = {**place, **more.pop("conditions", {})}
        given = {**common, "unit": unit, "higher_is_better": better, "conditions": conditions}
        return Record(kind="measurement", metric=metric, value=value, **given, **more)

    if cell["stage"] == "evaluate":
        counted = {
            "evaluator": "faster-coco-eval 1.8.0",
            "iou_type": "bbox",
            "iou_thresholds": "0.50:0.05:0.95",
            "max_detections": 100,
            "area": "box",
            "images": len(truth.image_ids),
            "annotations_sha256": truth.sha256,
            "boxes": len(truth.annotations),
            "classes": len(classes),
        }
        for metric, ratio in (("ap", 1), ("ap50", 1.6), ("ap_small", 0.5), ("ap_large", math.nan)):
            yield of(metric, ap * ratio, "AP", True, conditions=counted, count=counted["images"])
        for i, name in enumerate(classes):
            value, behind = class_score(ap, i, len(classes)), {**counted, "boxes": PER_CLASS}
            yield of("ap", value, "AP", True, conditions=behind, scope=f"class/{name}")
    if cell["stage"] == "cost":
        counted = {"batch_size": 1, "input_size": "320x320", "proposals": 200}
        counted["classes"] = len(classes)
        for role, share in {"": 1.0, **{f"role/{k}": v for k, v in ROLES.items()}}.items():
            macs, weights = share * 480 * (rank + 1), share * 2.5 * (rank + 1)
            yield of("macs_paper", macs, "MMACs", False, scope=role, conditions=counted)
            told = {"classes": len(classes)}
            yield of("parameters", weights, "M", False, scope=role, conditions=told)
    if cell["mode"] and cell["mode"] not in SPEEDS:
        error = "does not find what eager finds on 50 images: agreement 0.412"
        yield Record(kind="cell", **common, status="failed", error=error)
        return
    if cell["stage"] == "latency":
        median = 20.0 * (rank + 1) * SPEEDS[cell["mode"]]
        yield from _latencies(of, median, cell["seed"], cell["mode"])
    yield Record(kind="cell", **common)


def _latencies(of: Any, median: float, seed: int, mode: str) -> Iterator[Record]:
    way, precision = split_mode(mode)
    scope = "" if mode == "eager" else f"mode/{mode}"
    told = {
        "device": "a made-up processor",
        "mode": way,
        "precision": precision,
        **({"graph_breaks": 2} if way == "compiled" else {}),
        "batch_size": 1,
        "threads": 1,
        "clock": "perf_counter",
    }
    for kind, share in (("network", 0.8), ("postprocessed", 0.9), ("end_to_end", 1.0)):
        drawn = np.random.default_rng(seed).lognormal(math.log(median * share), 0.05, 200)
        for percent in (50, 90, 99):
            samples = tuple(drawn.tolist()) if percent == 50 else ()
            yield of(
                f"latency_{kind}_p{percent}",
                float(np.percentile(drawn, percent)),
                "ms",
                False,
                conditions=told,
                samples=samples,
                count=200,
                scope=scope,
            )
    yield of("mode_setup_seconds", 0.1 + len(mode), "s", False, conditions=told, scope=scope)
    if mode == "compiled":
        yield of("mode_compile_seconds", 7.2, "s", False, conditions=told, scope=scope)
    yield of("latency_peak_memory", 512.0, "MiB", False, conditions=told, scope=scope)
    if mode != "eager":
        yield of("mode_agreement", 0.998, "", True, conditions=told, scope=scope)
        asked = {"quantized": True} if way.endswith("-int8") else {"ap_drop": 0.002}
        checked = {**told, "images": 50, "ap_eager": 0.312, **asked}
        yield of("ap_check", 0.311, "AP", True, conditions=checked, scope=scope)


def _plan(
    folder: Path,
    detectors: Mapping[str, float],
    classes: Sequence[str],
    cells: Sequence[Mapping[str, Any]],
    published: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    data = folder / "data"
    size = {"size": [320, 320]}
    parts = {"backbone": {"use": "made_up", "params": {}, "plugin": ["made", "1"]}}
    return {
        "suite": "made",
        "profile": "quick",
        "fingerprint": "00112233445566aa",
        "data": {"use": "coco", "root": str(data)},
        "data_name": "made",
        "data_fingerprint": "cc" * 32,
        "classes": list(classes),
        "detectors": {name: {"input": size, "parts": parts} for name in detectors},
        "meters": [],
        "evaluate": {"max_images": None},
        "latency": {"runs": 200},
        "columns": list(COLUMNS),
        "published": list(published),
        "report": {"resamples": 200, "gallery": 4},
        "cells": list(cells),
        "splits": {"val": {"images": f"{data}/val", "annotations": f"{data}/instances_val.json"}},
    }


def _environment() -> dict[str, Any]:
    return {
        "id": ENVIRONMENT,
        "command": "harness run made.yaml --run-id made",
        "project_git": {"commit": "f" * 40, "dirty": True},
        "folder_git": {},
        "python": "CPython 3.11.7",
        "os": "Linux",
        "packages": {"harness": "0.2.0", "torch": "2.15.0", "timm": ""},
        "cpu": {"model": "a made-up processor", "cores": 2},
        "gpus": [],
        "cuda": {},
        "ops": {"cpu": "compiled-cpu", "cuda": None, "reason": None},
        "settings": {"torch_threads": 1},
    }


def _training(seed: int) -> Iterator[dict[str, float]]:
    for step in range(10, 410, 10):
        fall = math.exp(-step / 150)
        yield {
            "step": step,
            "epoch": step // 100,
            "lr": 0.001 * (1 - step / 400),
            "loss_cls": 0.2 + fall + 0.01 * seed,
            "loss_bbox": 0.1 + 0.5 * fall,
            "grad_norm": 1 + fall,
            "images_per_second": 7.0,
            "wait_share": 0.02,
        }


def _draw_images(data: Path, images: int, classes: Sequence[str]) -> GroundTruth:
    """Each image has a small and a large object; the small one's class goes round."""
    (data / "val").mkdir(parents=True)
    document: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(classes)],
    }
    for n in range(1, images + 1):
        pixels = np.full((120, 160, 3), 200, np.uint8)
        name = f"{n:03d}.jpg"
        document["images"].append({"id": n, "file_name": name, "width": 160, "height": 120})
        for k, (x, y, w, h) in enumerate([(8 + n, 10, 12, 12), (60, 40, 70, 60)]):
            pixels[y : y + h, x : x + w] = (180 - 90 * k, 40, 90 + 60 * k)
            entry = {"id": 2 * n + k, "image_id": n, "bbox": [x, y, w, h], "area": w * h}
            category = 1 + (n + k) % len(classes)
            document["annotations"].append({**entry, "category_id": category, "iscrowd": 0})
        Image.fromarray(pixels).save(data / "val" / name, quality=90)
    path = data / "instances_val.json"
    path.write_text(json.dumps(document))
    return read_ground_truth(path)


def _write_detections(
    folder: Path, detectors: Mapping[str, float], seeds: Sequence[int], truth: GroundTruth
) -> None:
    """The large objects are found, the small ones are not, and there is one false detection."""
    found = []
    for entry in truth.annotations:
        if entry["area"] > 32**2:
            place = {key: entry[key] for key in ("image_id", "category_id", "bbox")}
            found += [{**place, "score": 0.9}, {**place, "bbox": [5, 80, 20, 20], "score": 0.6}]
    for name in detectors:
        for seed in seeds:
            path = layout.cell_folder(folder, name, seed) / layout.DETECTIONS
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(found))
