"""The stage that detects in every image of a split and scores what it found."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from harness.data.annotations import read_annotations
from harness.data.batch import Inputs
from harness.data.loader import eval_loader
from harness.data.source import Split
from harness.errors import CellError
from harness.manifest.schema import Evaluate
from harness.model.detector import Detector
from harness.model.types import Detections
from harness.records.measurement import Measurement
from harness.stages.collecting import collector_paused
from harness.stages.context import evaluating, with_place
from harness.stages.detections_file import Detection, write_detections
from harness.stages.inputs import EvaluationMeter, OnProgress
from harness.stages.scoring import evaluate


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
    found = detect(detector, loader, annotations.category_ids, loader.images, on_progress)
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
    """Run the detector over a loader, in float32 without TF32.

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
        for detections, image_ids in _one_behind(detector, loader):
            with collector_paused():
                found += coco_results(detections, image_ids, category_ids)
            done += len(image_ids)
            if on_progress is not None:
                on_progress(done, total)
    return found


def _one_behind(
    detector: Detector, loader: Iterable[tuple[Inputs, Sequence[int]]]
) -> Iterator[tuple[Detections, Sequence[int]]]:
    """Detections on the host, each batch once the next one is under way on the device."""
    before: tuple[Landing, Sequence[int]] | None = None
    for inputs, image_ids in loader:
        landing = Landing(detector(detector.prepare(inputs)))
        if before is not None:
            yield before[0].wait(), before[1]
        before = landing, image_ids
    if before is not None:
        yield before[0].wait(), before[1]


class Landing:
    """Detections on their way to the host."""

    def __init__(self, detections: Detections) -> None:
        device = detections.boxes.device
        self._detections = detections.to("cpu", non_blocking=device.type == "cuda")
        self._landed = None
        if device.type == "cuda":
            self._landed = torch.cuda.current_stream(device).record_event()

    def wait(self) -> Detections:
        if self._landed is not None:
            self._landed.synchronize()
        return self._detections


def coco_results(
    detections: Detections, image_ids: Sequence[int], category_ids: Sequence[int]
) -> list[Detection]:
    """A batch of detections -> COCO's result form (xywh, dataset ids), scores as they are.

    Raises:
        CellError: a box or score that is not finite.
    """
    counts, labels = detections.counts.numpy(), detections.labels.numpy()
    # numpy: torch would wake its threads for each of these small steps
    image, column = np.nonzero(np.arange(labels.shape[1]) < counts[:, None])
    boxes = detections.boxes.double().numpy()[image, column]
    scores = detections.scores.double().numpy()[image, column]
    finite = np.isfinite(boxes).all(1) & np.isfinite(scores)
    if not finite.all():
        bad = image_ids[int(image[~finite][0])]
        raise CellError(f"detections of image {bad} are not finite: the weights are broken")
    boxes[:, 2:] -= boxes[:, :2]
    ids = [image_ids[i] for i in image.tolist()]
    categories = [category_ids[label] for label in labels[image, column].tolist()]
    columns = zip(ids, categories, boxes.tolist(), scores.tolist(), strict=True)
    return [
        {"image_id": image_id, "category_id": category, "bbox": box, "score": score}
        for image_id, category, box, score in columns
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
