"""What each measuring stage hands to its meters. Imports no torch: scoring starts without it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.manifest.schema import Latency
from harness.records.measurement import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from harness.model.detector import Detector
    from harness.modes.runner import Runner

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class GroundTruth:
    """An annotation file in COCO's format, as the evaluators take it.

    Attributes:
        image_ids: the images to evaluate on, in file order.
        categories: dataset id -> name, in the order of ids.
        annotations: `image_id, category_id, bbox` (xywh), `area, iscrowd` of those images.
        sha256: of the file.
        image_sizes: (height, width) of each image, as `image_ids`.
        file_names: of each image, as `image_ids`.
        text_ids: ids as the annotation file has them where those are text, else "".
    """

    image_ids: tuple[int, ...]
    categories: Mapping[int, str]
    annotations: tuple[Mapping[str, Any], ...]
    sha256: str
    image_sizes: tuple[tuple[int, int], ...] = ()
    file_names: tuple[str, ...] = ()
    text_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluationInput:
    """Detections in COCO's result form with the ground truth they are scored against.

    Attributes:
        detections: `image_id, category_id` (both dataset ids), `bbox` (xywh), `score`.
    """

    ground_truth: GroundTruth
    detections: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class CostInput:
    """One real image, (3, h, w) uint8 RGB."""

    image: "Tensor"


@dataclass(frozen=True)
class LatencyInput:
    """Real images and how to time them.

    Attributes:
        images: each (3, h, w) uint8 RGB, in the host's memory.
        runner: the detector in the mode that is to be timed; it has run before. Its mode,
            precision and conditions are added to whatever a meter measures.
        on_progress: told (repetitions done, repetitions requested), never while the clock runs.
    """

    images: "tuple[Tensor, ...]"
    settings: Latency
    runner: "Runner"
    on_progress: OnProgress | None = None


EvaluationMeter = Callable[[EvaluationInput], list[Measurement]]
CostMeter = Callable[["Detector", CostInput], list[Measurement]]
LatencyMeter = Callable[["Detector", LatencyInput], list[Measurement]]
