"""COCO's average precision and recall of boxes.

Definition: pycocotools (https://cocodataset.org/#detection-eval): 10 IoU thresholds from 0.50
to 0.95, 101 recall points, crowd regions ignored. Both backends give the same tables of
precision and recall; the figures are read from them here, so that a bin without ground truth is
NaN instead of the backends' -1.
"""

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.data.boxes import COCO_AREAS
from harness.plugin.metrics import Finding, Scoring
from harness.records.measurement import Measurement
from harness.stages.inputs import EvaluationInput, GroundTruth
from harness_plugins.meters.metrics import coco_metrics

Backend = Literal["faster_coco_eval", "pycocotools"]
Behind = Mapping[str, int]
DISTRIBUTIONS = {"faster_coco_eval": "faster-coco-eval", "pycocotools": "pycocotools"}
SIZES = tuple(COCO_AREAS)
IOU_50 = 0


@dataclass(frozen=True)
class Tables:
    """What an evaluator accumulates; -1 where a cell has no ground truth.

    Attributes:
        precision: (IoU threshold, recall point, category, size, max detections).
        recall: (IoU threshold, category, size, max detections).
        limits: max detections.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    limits: tuple[int, ...]

    def ap(
        self, iou: int | slice = slice(None), size: str = "all", category: Any = slice(None)
    ) -> float:
        return mean_of_present(self.precision[iou, :, category, SIZES.index(size), -1])

    def value(self, scoring: Scoring) -> float:
        """One of COCO's figures."""
        if scoring.of == "precision":
            every = slice(None)
            return self.ap(every if scoring.threshold is None else scoring.threshold, scoring.area)
        size, limit = SIZES.index(scoring.area), self.limits.index(scoring.limit)
        return mean_of_present(self.recall[:, :, size, limit])


@dataclass(frozen=True)
class CocoAp:
    """Meter of the stage `evaluate`: AP and AR in [0, 1], whole, by size and by class."""

    backend: Backend = "faster_coco_eval"
    per_class: bool = True
    max_detections: int = 100

    def __call__(self, given: EvaluationInput) -> list[Measurement]:
        tables = accumulate(given, self.backend, self.max_detections)
        conditions = self._conditions(given)
        warnings = () if given.detections else (Finding("nothing_found"),)
        count = len(given.ground_truth.image_ids)

        def measure(metric: str, value: float, behind: Behind, scope: str = "") -> Measurement:
            return Measurement(
                metric,
                value,
                scope=scope,
                count=count,
                conditions={**conditions, **behind},
                warnings=warnings,
            )

        objects = {size: count_objects(of_size(given.ground_truth, size)) for size in SIZES}
        whole = [
            measure(spec.name, tables.value(spec.scoring), objects[spec.scoring.area])
            for spec in coco_metrics(self.max_detections)
            if spec.scoring is not None
        ]
        by_class = self._by_class(tables, given.ground_truth, measure) if self.per_class else []
        return whole + by_class

    def _by_class(self, tables: Tables, truth: GroundTruth, measure: Any) -> list[Measurement]:
        objects: dict[int, list[Mapping[str, Any]]] = {c: [] for c in truth.categories}
        for annotation in of_size(truth, "all"):
            objects[annotation["category_id"]].append(annotation)
        behind = {category: count_objects(found) for category, found in objects.items()}
        return [
            measure(metric, tables.ap(iou, category=index), behind[category], f"class/{name}")
            for index, (category, name) in enumerate(truth.categories.items())
            for metric, iou in (("ap", slice(None)), ("ap50", IOU_50))
        ]

    def _conditions(self, given: EvaluationInput) -> dict[str, Any]:
        return {
            "evaluator": f"{DISTRIBUTIONS[self.backend]} {version(DISTRIBUTIONS[self.backend])}",
            "iou_type": "bbox",
            "iou_thresholds": "0.50:0.05:0.95",
            "max_detections": self.max_detections,
            "area": area_kind(given.ground_truth),
            "images": len(given.ground_truth.image_ids),
            "detections": len(given.detections),
            "annotations_sha256": given.ground_truth.sha256,
        }


def accumulate(given: EvaluationInput, backend: Backend, max_detections: int = 100) -> Tables:
    """Match detections to ground truth and tabulate precision and recall."""
    limits = (1, 10, max_detections)
    coco, evaluator = _backend(backend)
    truth = given.ground_truth
    # these libraries print their progress on stdout, which is the table's
    with contextlib.redirect_stdout(io.StringIO()):
        run = evaluator(
            _index(coco, truth, truth.annotations), _index(coco, truth, given.detections), "bbox"
        )
        run.params.imgIds = sorted(truth.image_ids)
        run.params.catIds = list(truth.categories)
        run.params.maxDets = [*limits]
        run.evaluate()
        run.accumulate()
    return Tables(np.asarray(run.eval["precision"]), np.asarray(run.eval["recall"]), limits)


def mean_of_present(cells: NDArray[np.float64]) -> float:
    """Mean of the cells that have ground truth, NaN when none has."""
    present = cells[cells > -1]
    return float(present.mean()) if present.size else math.nan


def area_kind(truth: GroundTruth) -> Literal["box", "mask", "none"]:
    """Whether the field `area`, which decides what is small, is that of boxes or of masks."""
    if not truth.annotations:
        return "none"
    products = np.array([a["bbox"][2] * a["bbox"][3] for a in truth.annotations])
    areas = np.array([a["area"] for a in truth.annotations])
    # files round areas and coordinates separately
    return "box" if np.allclose(areas, products, rtol=0.01, atol=0.5) else "mask"


def of_size(truth: GroundTruth, size: str) -> list[Mapping[str, Any]]:
    """Objects of a size that have to be found; crowd regions do not count."""
    low, high = COCO_AREAS[size]
    return [a for a in truth.annotations if not a["iscrowd"] and low <= a["area"] <= high]


def count_objects(objects: Sequence[Mapping[str, Any]]) -> Behind:
    """How many a figure rests on, and in how many images: those decide its uncertainty."""
    return {"boxes": len(objects), "object_images": len({a["image_id"] for a in objects})}


def _backend(backend: Backend) -> tuple[Any, Any]:
    if backend == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        return COCO, COCOeval
    from faster_coco_eval.core import COCO, COCOeval_faster

    return COCO, COCOeval_faster


def _index(coco: Any, truth: GroundTruth, boxes: tuple[Mapping[str, Any], ...]) -> Any:
    """A COCO index of ground truth or detections; ids start at 1, as 0 means "unmatched"."""
    index = coco()
    index.dataset = {
        "images": [{"id": i} for i in truth.image_ids],
        "categories": [{"id": i, "name": name} for i, name in truth.categories.items()],
        "annotations": [_entry(box, number) for number, box in enumerate(boxes, start=1)],
    }
    index.createIndex()
    return index


def _entry(box: Mapping[str, Any], number: int) -> dict[str, Any]:
    x, y, w, h = box["bbox"]
    return {"area": w * h, "iscrowd": 0, **box, "bbox": [x, y, w, h], "id": number}
