"""PicoDet's head: class scores and distributions of distances from the same convolutions.

Paper: https://arxiv.org/abs/2111.00902, sections 3.1 and 3.2.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from harness.data.batch import Targets
from harness.model.box_losses import check_labels
from harness.model.distribution_head import DistributionHead, PointOutputs
from harness.model.dynamic_k import Assignment
from harness.model.features import FeatureSpec
from harness.model.parts import TrainingMaps
from harness_plugins.picodet.assignment import assign
from harness_plugins.picodet.blocks import separable
from harness_plugins.picodet.params import PicoHeadParams
from harness_plugins.picodet.varifocal import varifocal_sum

CENTRE = 0.5  # of a cell, where its point is


class PicoHead(DistributionHead):
    """Detects at the centre of every cell of every map.

    Args:
        in_features: the neck's maps.
        num_classes: without background.
        image_size: (height, width) of the network's input.
        params: everything else.

    Raises:
        UserError: the maps are not a pyramid, or do not divide the image.
    """

    params: PicoHeadParams

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        image_size: tuple[int, int],
        params: PicoHeadParams,
    ) -> None:
        def layers(channels: int) -> nn.Module:
            return nn.Sequential(*(separable(channels) for _ in range(params.layers)))

        super().__init__(
            "pico_head", in_features, num_classes, image_size, params, layers=layers, offset=CENTRE
        )

    def assign(self, outputs: PointOutputs, targets: Targets) -> Assignment:
        """By these outputs; `targets` in network pixels."""
        p = self.params
        return assign(
            outputs.logits.float(), self.boxes(outputs), self.points, targets,
            largest=p.largest, iou_weight=p.iou_weight, radius=p.radius,
        )  # fmt: skip

    def losses(
        self, outputs: PointOutputs, targets: Targets, given: TrainingMaps
    ) -> dict[str, Tensor]:
        """`loss_vfl`, `loss_bbox` and `loss_dfl`, times their weights.

        Raises:
            UserError: a label beyond the head's classes.
        """
        check_labels(targets, self.num_classes)
        targets = targets.at_least_one()
        assignment = self.assign(outputs, targets)
        quality = self.qualities(targets, assignment)
        total = self.count_positive(assignment)
        of_classes = varifocal_sum(outputs.logits.float(), quality) / total
        return {
            "loss_vfl": self.params.class_weight * of_classes,
            **self.box_losses(outputs, targets, assignment),
        }


def pico_head(
    in_features: Sequence[FeatureSpec],
    *,
    num_classes: int,
    image_size: tuple[int, int],
    **params: Any,
) -> PicoHead:
    """Factory of the declaration."""
    return PicoHead(in_features, num_classes, image_size, PicoHeadParams(**params))
