"""The stage that detects in every image of a split and scores what it found."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from harness.data.annotations import read_annotations
from harness.data.batch import Inputs
from harness.data.loader import eval_loader
from harness.data.source import Split
from harness.errors import CellError
from harness.manifest.schema import Evaluate
from harness.model.detector import Detector
from harness.model.types import Detections
from harness.records.measurement import Measurement
from harness.stages.context import evaluating, with_place
from harness.stages.inputs import EvaluationMeter, OnProgress
from harness.stages.scoring import Detection, evaluate, write_detections


def evaluate_detector(
    detector: Detector,
    split: Split,
    settings: Evaluate,
    meters: Iterable[EvaluationMeter],
    path: Path,
    on_progress: OnProgress | None = None,
) -> list[Measurement]:
    """Detect in a split, write the detections and score the file that was written.

    In a distributed run every process takes its share of the images; the first one writes and
    scores, the others return nothing.

    Args:
        detector: on its device, with its weights; its mode is left as it was.
        split: the images and their ground truth.
        settings: batch size, workers, and how many images.
        meters: see `inputs.EvaluationMeter`.
        path: of the detections file, COCO's result format.
        on_progress: told (images done, images in all) after each batch.

    Raises:
        UserError: a bad image or annotation, or a folder that cannot be written.
        CellError: detections that are not finite.
    """
    annotations = read_annotations(split.annotations)
    image_ids = [image.id for image in annotations.images[: settings.max_images]]
    rank, world = _place()
    loader = eval_loader(split, detector.resize, settings, rank=rank, world=world)
    total = len(range(rank, len(image_ids), world))
    found = detect(detector, loader, annotations.category_ids, total, on_progress)
    found = _gather(found, image_ids)
    if rank != 0:
        return []
    write_detections(path, found)
    return with_place(evaluate(split.annotations, path, meters, image_ids), detector)


def detect(
    detector: Detector,
    loader: Iterable[tuple[Inputs, Sequence[int]]],
    category_ids: Sequence[int],
    total: int,
    on_progress: OnProgress | None = None,
) -> list[Detection]:
    """Run the detector over a loader.

    Args:
        detector: its mode is left as it was.
        loader: (uint8 inputs, image ids) a batch.
        category_ids: dataset id of each label.
        total: images that the loader gives, for `on_progress`.
        on_progress: told (images done, total) after each batch.

    Returns:
        detections in COCO's result form.

    Raises:
        CellError: a box or score that is not finite.
    """
    found: list[Detection] = []
    done = 0
    with evaluating(detector):
        for inputs, image_ids in loader:
            detections = detector(detector.prepare(inputs)).to("cpu")
            found += coco_results(detections, image_ids, category_ids)
            done += len(image_ids)
            if on_progress is not None:
                on_progress(done, total)
    return found


def coco_results(
    detections: Detections, image_ids: Sequence[int], category_ids: Sequence[int]
) -> list[Detection]:
    """A batch of detections -> COCO's result form (xywh, dataset ids), scores as they are.

    Raises:
        CellError: a box or score that is not finite.
    """
    return [
        result
        for image_id, boxes, scores, labels, count in zip(
            image_ids,
            detections.boxes,
            detections.scores,
            detections.labels,
            detections.counts.tolist(),
            strict=True,
        )
        for result in _image_results(
            image_id, boxes[:count], scores[:count], labels[:count], category_ids
        )
    ]


def _image_results(
    image_id: int, boxes: Tensor, scores: Tensor, labels: Tensor, category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    if not (torch.isfinite(boxes).all() and torch.isfinite(scores).all()):
        raise CellError(f"detections of image {image_id} are not finite: the weights are broken")
    corners = boxes.double()
    xywh = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1)
    columns = zip(labels.tolist(), xywh.tolist(), scores.double().tolist(), strict=True)
    return [
        {"image_id": image_id, "category_id": category_ids[label], "bbox": box, "score": score}
        for label, box, score in columns
    ]


def _place() -> tuple[int, int]:
    """(rank, number of processes)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _gather(found: list[Detection], image_ids: Sequence[int]) -> list[Detection]:
    """Detections of all processes in the order of the images, whatever the number of processes."""
    world = _place()[1]
    if world == 1:
        return found
    shares: list[list[Detection]] = [[] for _ in range(world)]
    dist.all_gather_object(shares, found)
    position = {image_id: i for i, image_id in enumerate(image_ids)}
    return sorted(
        (result for share in shares for result in share),
        key=lambda result: position[result["image_id"]],
    )
