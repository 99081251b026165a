"""The interfaces of the parts of detectors, which plugins implement in torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from harness.data.batch import Inputs, Targets
from harness.model.candidates import Candidates
from harness.model.features import FeatureSpec, RoiSpec
from harness.model.types import BoxFrame, Detections, Proposals

Losses = dict[str, Tensor]


class Backbone(Protocol):
    out_features: tuple[FeatureSpec, ...]

    def __call__(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised -> one (B, channels, H/stride, W/stride) per out feature."""
        ...


class Neck(Protocol):
    out_features: tuple[FeatureSpec, ...]

    def __call__(self, features: list[Tensor]) -> list[Tensor]: ...


class Rpn(Protocol):
    """May also offer `anchor_levels(size)` and `positive_iou`, as `Detector` has them.

    And `roi_maps`, where the RoI op is to pool from other maps than the neck's.
    """

    def __call__(self, features: list[Tensor]) -> Any:
        """Raw outputs, whatever `propose` and `losses` need."""
        ...

    def propose(self, outputs: Any) -> Proposals:
        """Best regions of each image; `self.training` chooses how many. No gradient."""
        ...

    def losses(self, outputs: Any, targets: Targets) -> Losses:
        """`targets` in network pixels."""
        ...

    def roi_maps(self, features: list[Tensor], outputs: Any) -> list[Tensor]:
        """Optional: the maps that the RoI op pools from, as many and of the same shapes.

        The box head's losses train what it computes, so an attention may stand here.

        Args:
            features: the neck's maps, which are pooled from without it.
            outputs: the RPN's for them.
        """
        ...


class RoiOp(Protocol):
    out_feature: RoiSpec

    def __call__(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """Pool each box of (B, P, 4), xyxy exclusive in network pixels: (B * P, C, h, w).

        `features` are all maps of the neck; the op picks the levels that it uses.
        """
        ...


class BoxHead(Protocol):
    frame: BoxFrame

    def __call__(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, h, w) -> class logits (N, classes [+ background]) and box deltas."""
        ...

    def losses(
        self, proposals: Proposals, targets: Targets, pool: Callable[[Tensor], Tensor]
    ) -> Losses:
        """Match, sample and score proposals. `pool` turns (B, P, 4) boxes into (B*P, C, h, w)."""
        ...

    def detect(
        self, proposals: Proposals, logits: Tensor, deltas: Tensor, inputs: Inputs
    ) -> Detections:
        """Final detections in image pixels; logits and deltas as (B * P, ...).

        NMS runs on boxes in image pixels: for a family with inclusive corners their IoUs differ
        from those in network pixels.
        """
        ...


@dataclass(frozen=True)
class TrainingMaps:
    """What the losses of a dense head may use beside its own outputs.

    Attributes:
        backbone, neck: their maps, finest first.
        auxiliary: the modules of `DenseHead.make_auxiliary`, by name.
    """

    backbone: list[Tensor]
    neck: list[Tensor]
    auxiliary: Mapping[str, nn.Module]


class DenseHead(Protocol):
    """Predicts at every cell of a list of maps, with anchors or without.

    It may also offer `anchor_levels(size)`, `positive_iou`, `begin_epoch(epoch, epochs)` and
    `begin_last_phase()`, as `Detector` has them, a `checkpoint_name` (see `OneStageDetector`),
    and `make_auxiliary`.

    Attributes:
        frame: of its boxes; `to_image` may clip.
        nms_iou: overlaps beyond it suppress the box of the same class with the lower score.
        detections: of an image at most, over all classes.
        selection: see `Detector`.
    """

    frame: BoxFrame
    nms_iou: float
    detections: int
    selection: Mapping[str, Any]

    def __call__(self, features: list[Tensor]) -> Any:
        """Raw outputs, whatever `decode` and `losses` need; static shapes."""
        ...

    def decode(self, outputs: Any) -> Candidates:
        """What is above the head's score threshold, before NMS. No gradient."""
        ...

    def losses(self, outputs: Any, targets: Targets, given: TrainingMaps) -> Losses:
        """`targets` in network pixels; images without boxes and padding are allowed."""
        ...

    def make_auxiliary(
        self, in_features: Sequence[FeatureSpec], neck: nn.Module
    ) -> Mapping[str, nn.Module]:
        """Optional: modules that only `losses` uses, by their names in a checkpoint.

        Args:
            in_features: the backbone's.
            neck: the detector's, with fresh weights.
        """
        ...
