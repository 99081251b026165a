"""Time and memory of 1,000 resamples of two detectors on a set of the size of COCO val2017.

Measured in a process of its own, so that the peak of its memory is that of the statistics.
"""

import json
import resource
import subprocess
import sys
import time

import numpy as np

IMAGES, CLASSES, OBJECTS, DETECTIONS, RESAMPLES = 5_000, 80, 36_000, 100, 1_000
SIDE = 640.0


def test_thousand_resamples_of_two_detectors(benchmark):
    done = benchmark.pedantic(
        subprocess.run,
        args=([sys.executable, __file__],),
        kwargs={"check": True, "capture_output": True, "text": True},
        rounds=1,
    )
    found = json.loads(done.stdout)
    benchmark.extra_info.update(found)
    assert found["peak_gib"] < 4
    assert 0.05 < found["ap"][0] < found["ap"][1] < 0.95
    assert found["low"] < found["difference"] < found["high"]


def draw_set(seed: int) -> dict[str, np.ndarray]:
    """Objects: classes as uneven as COCO's, sizes from 8 to 400 pixels."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, CLASSES + 1) ** 0.9
    sides = np.exp(rng.uniform(np.log(8), np.log(400), (OBJECTS, 1)))
    sides = np.minimum(sides * np.exp(rng.normal(0, 0.3, (OBJECTS, 2))), SIDE)
    corner = rng.uniform(0, SIDE - sides)
    return {
        "image": rng.integers(0, IMAGES, OBJECTS),
        "category": rng.choice(CLASSES, OBJECTS, p=share / share.sum()),
        "bbox": np.concatenate([corner, sides], axis=1),
    }


def detect(objects: dict[str, np.ndarray], skill: float, seed: int) -> list[dict]:
    """Every image has 100 detections: near each object a few, the rest anywhere."""
    rng = np.random.default_rng(seed)
    near = np.repeat(np.flatnonzero(rng.random(OBJECTS) < skill), 3)
    jitter = rng.normal(0, 0.12, (len(near), 4))
    box = objects["bbox"][near].copy()
    box[:, :2] += jitter[:, :2] * box[:, 2:]
    box[:, 2:] *= np.exp(jitter[:, 2:])
    rest = np.maximum(DETECTIONS - np.bincount(objects["image"][near], minlength=IMAGES), 0)
    stray = draw_strays(rng, int(rest.sum()), objects["category"])
    image = np.concatenate([objects["image"][near], np.repeat(np.arange(IMAGES), rest)])
    category = np.concatenate([objects["category"][near], stray["category"]])
    boxes = np.concatenate([box, stray["bbox"]])
    goodness = -np.abs(jitter).sum(axis=1) * 4
    score = np.concatenate([goodness, np.full(len(stray["bbox"]), -3.0)])
    score += rng.normal(0, 1, len(score))
    columns = (column.tolist() for column in (image, category, boxes, score))
    return [
        {"image_id": i, "category_id": c, "bbox": b, "score": s}
        for i, c, b, s in zip(*columns, strict=True)
    ]


def draw_strays(rng: np.random.Generator, number: int, classes: np.ndarray) -> dict:
    sides = np.exp(rng.uniform(np.log(8), np.log(400), (number, 2)))
    corner = rng.uniform(0, SIDE - sides)
    return {
        "category": rng.choice(classes, number),
        "bbox": np.concatenate([corner, sides], axis=1),
    }


def main() -> None:
    from harness.manifest.schema import Report
    from harness.results.ap.boxes import build_scene
    from harness.results.ap.paired import paired_difference
    from harness.results.ap.precision import measure_precision
    from harness.results.run import known_metrics
    from harness.stages.inputs import EvaluationInput, GroundTruth

    objects = draw_set(0)
    columns = (objects[name].tolist() for name in ("image", "category", "bbox"))
    annotations = tuple(
        {"image_id": i, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
        for i, c, b in zip(*columns, strict=True)
    )
    truth = GroundTruth(
        tuple(range(IMAGES)),
        {c: str(c) for c in range(CLASSES)},
        annotations,
        "made up",
        ((int(SIDE), int(SIDE)),) * IMAGES,
    )
    inputs = [EvaluationInput(truth, tuple(detect(objects, skill, 1))) for skill in (0.7, 0.8)]
    specs = known_metrics().specs.values()
    metrics = {spec.name: spec.scoring for spec in specs if spec.scoring is not None}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    settings = Report(resamples=RESAMPLES)
    resize = {"kind": "squash", "height": 320, "width": 320}
    start, cpu = time.perf_counter(), time.process_time()
    found = [
        measure_precision(given.ground_truth, build_scene(given, resize), settings, metrics)
        for given in inputs
    ]
    base, other = (one.metrics["ap"] for one in found)
    difference = paired_difference([base], [other])
    told = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "before_gib": before / 2**20,
        "detections": [len(given.detections) for given in inputs],
        "ap": [base.value, other.value],
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "sizes": len(found[0].curves["original"]) + len(found[0].curves["network"]),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
