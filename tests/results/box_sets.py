"""Small and noisy sets of boxes, and what the COCO evaluators say of them."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.plugin.metrics import Scoring
from harness.results.ap.boxes import Scene, build_scene
from harness.results.ap.misses import find_misses
from harness.results.ap.precision import measure_precision
from harness.results.ap.ranges import AreaRange
from harness.results.ap.types import Misses, Precision
from harness.results.run import known_metrics
from harness.stages.inputs import EvaluationInput, GroundTruth

SIDE = 640


def scorings(*ranges: str) -> dict[str, Scoring]:
    """COCO's figures by their metrics, and those of a manifest's area ranges."""
    specs = known_metrics().with_ranges(ranges).specs.values()
    return {spec.name: spec.scoring for spec in specs if spec.scoring is not None}


def precision_of(
    given: EvaluationInput, resize: dict | None, *others: Any, **named: Any
) -> Precision:
    """`measure_precision` of an input."""
    return measure_precision(given.ground_truth, build_scene(given, resize), *others, **named)


def misses_of(given: EvaluationInput, *threshold: float) -> tuple[Misses, ...]:
    return find_misses(build_scene(given), sorted(given.ground_truth.image_ids), *threshold)


def make_object(bbox: Sequence[float], image: int = 1, category: int = 1, **rest: Any) -> dict:
    """Any of `area` and `iscrowd` in `rest`."""
    area = bbox[2] * bbox[3]
    place = {"image_id": image, "category_id": category, "bbox": list(bbox)}
    return {**place, "area": area, "iscrowd": 0, **rest}


def make_detection(bbox: Sequence[float], score: float, image: int = 1, category: int = 1) -> dict:
    return {"image_id": image, "category_id": category, "bbox": list(bbox), "score": score}


def make_set(
    objects: Sequence[dict], detections: Sequence[dict], images: int = 1, categories: int = 1
) -> EvaluationInput:
    truth = GroundTruth(
        tuple(range(1, images + 1)),
        {c: f"class {c}" for c in range(1, categories + 1)},
        tuple(objects),
        "made by hand",
        ((SIDE, SIDE),) * images,
    )
    return EvaluationInput(truth, tuple(detections))


def make_noisy(truth: GroundTruth, seed: int, digits: int | None = 2) -> EvaluationInput:
    """Detections from ground truth: moved, dropped, doubled, of a wrong class, or of nothing.

    Args:
        digits: of the scores; two make many equal, with None none are.
    """
    rng = np.random.default_rng(seed)
    classes = list(truth.categories)
    found = []
    for thing in truth.annotations:
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            x, y, w, h = thing["bbox"]
            moved = rng.normal(0, rng.choice([0.02, 0.1, 0.2]), 4)
            box = [x + moved[0] * w, y + moved[1] * h, *(np.exp(moved[2:]) * [w, h])]
            category = rng.choice(classes) if rng.random() < 0.1 else thing["category_id"]
            found.append(make_detection(box, rng.beta(3, 2), thing["image_id"], int(category)))
        if rng.random() < 0.1:  # exactly there, and twice: equal IoU
            found += 2 * [
                make_detection(thing["bbox"], 0.5, thing["image_id"], thing["category_id"])
            ]
    for image in truth.image_ids:
        # of one class more than 100 now and then
        for _ in range(130 if rng.random() < 0.02 else rng.poisson(4)):
            box = [*rng.uniform(0, 400, 2), *rng.uniform(5, 200, 2)]
            found.append(make_detection(box, rng.beta(2, 3), image, int(rng.choice(classes[:9]))))
    rng.shuffle(found)  # type: ignore[arg-type]
    if digits is None:
        found = [{**d, "score": d["score"] + rng.normal(0, 1e-3)} for d in found]
    else:
        found = [{**d, "score": round(d["score"], digits)} for d in found]
    return EvaluationInput(truth, tuple(found))


def coco_tables(
    given: EvaluationInput,
    ranges: Sequence[AreaRange],
    resize: dict | None = None,
    backend: str = "pycocotools",
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (10, 101, classes, ranges, 3) and recall (10, classes, ranges, 3), NaN for -1.

    Half-open ranges end at the last number before; areas are given in the range's frame.
    """
    if backend == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    else:
        from faster_coco_eval.core import COCO
        from faster_coco_eval.core import COCOeval_faster as COCOeval
    truth = given.ground_truth
    found = [{**d, "area": d["bbox"][2] * d["bbox"][3], "iscrowd": 0} for d in given.detections]
    factor = _factors(build_scene(given, resize), truth, ranges)

    def index(boxes: Sequence[Any]) -> Any:
        result = COCO()
        result.dataset = {
            "images": [{"id": i} for i in truth.image_ids],
            "categories": [{"id": i, "name": name} for i, name in truth.categories.items()],
            "annotations": [
                {**box, "area": box["area"] * factor[box["image_id"]], "id": n}
                for n, box in enumerate(boxes, start=1)
            ],
        }
        result.createIndex()
        return result

    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(index(truth.annotations), index(found), "bbox")
        run.params.areaRng = [
            [r.low, r.high if r.closed else float(np.nextafter(r.high, 0))] for r in ranges
        ]
        run.params.areaRngLbl = [str(n) for n in range(len(ranges))]
        run.evaluate()
        run.accumulate()
    precision, recall = np.array(run.eval["precision"]), np.array(run.eval["recall"])
    return np.where(precision < 0, np.nan, precision), np.where(recall < 0, np.nan, recall)


def _factors(scene: Scene, truth: GroundTruth, ranges: Sequence[AreaRange]) -> dict[int, float]:
    """Area of a network pixel's worth for each image; all ranges are of one frame."""
    (frame,) = {r.frame for r in ranges}
    if frame == "original":
        return dict.fromkeys(truth.image_ids, 1.0)
    return dict(zip(sorted(truth.image_ids), scene.shrink.tolist(), strict=True))
