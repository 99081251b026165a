"""NanoDet-Plus's head: class scores and distributions of distances from the same convolutions."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.batch import Targets
from harness.model.box_losses import check_labels
from harness.model.distribution_head import DistributionHead, PointOutputs
from harness.model.dynamic_k import Assignment
from harness.model.features import FeatureSpec
from harness.model.parts import TrainingMaps
from harness_plugins.nanodet.assignment import assign
from harness_plugins.nanodet.auxiliary import AuxiliaryHead
from harness_plugins.nanodet.blocks import SeparableConvNorm
from harness_plugins.nanodet.losses import quality_focal_sum
from harness_plugins.nanodet.params import NanoDetHeadParams


class NanoDetHead(DistributionHead):
    """Detects at the top left corner of every cell of every map.

    Args:
        in_features: the neck's maps.
        num_classes: without background.
        image_size: (height, width) of the network's input.
        params: everything else.

    Attributes:
        flow: the share of the auxiliary branch's gradient that goes on into backbone and neck, 1
            or 0; a buffer, so that a captured step sees it change.

    Raises:
        UserError: the maps are not a pyramid, or do not divide the image.
    """

    params: NanoDetHeadParams
    flow: Tensor

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        image_size: tuple[int, int],
        params: NanoDetHeadParams,
    ) -> None:
        def layers(channels: int) -> nn.Module:
            made = (
                SeparableConvNorm(channels, channels, params.kernel) for _ in range(params.layers)
            )
            return nn.Sequential(*made)

        super().__init__(
            "nanodet_head", in_features, num_classes, image_size, params, layers=layers, offset=0.0
        )
        self.register_buffer("flow", torch.ones(()), persistent=False)

    def assign(self, outputs: PointOutputs, targets: Targets) -> Assignment:
        """By these outputs; `targets` in network pixels."""
        p = self.params
        return assign(
            outputs.logits.float(), self.boxes(outputs), self.points, targets,
            largest=p.largest, iou_weight=p.iou_weight,
        )  # fmt: skip

    def losses_of(
        self, outputs: PointOutputs, targets: Targets, assignment: Assignment
    ) -> dict[str, Tensor]:
        """`loss_qfl`, `loss_bbox` and `loss_dfl`, weights included, for this assignment."""
        quality = self.qualities(targets, assignment)
        total = self.count_positive(assignment)
        of_classes = quality_focal_sum(outputs.logits.float(), quality) / total
        return {
            "loss_qfl": self.params.quality_weight * of_classes,
            **self.box_losses(outputs, targets, assignment),
        }

    def losses(
        self, outputs: PointOutputs, targets: Targets, given: TrainingMaps
    ) -> dict[str, Tensor]:
        """`losses_of` these outputs, and of the auxiliary head's as `aux_loss_qfl` and so on.

        With an auxiliary head its outputs assign for both, else the head's own.

        Raises:
            UserError: a label beyond the head's classes.
        """
        check_labels(targets, self.num_classes)
        targets = targets.at_least_one()
        if not given.auxiliary:
            return self.losses_of(outputs, targets, self.assign(outputs, targets))
        guide = self.guide(given)
        assignment = self.assign(guide, targets)
        others = self.losses_of(guide, targets, assignment)
        return {
            **self.losses_of(outputs, targets, assignment),
            **{f"aux_{name}": loss for name, loss in others.items()},
        }

    def make_auxiliary(
        self, in_features: Sequence[FeatureSpec], neck: nn.Module
    ) -> dict[str, nn.Module]:
        """A copy of the neck, and a head on the maps of both necks.

        Raises:
            UserError: the neck's maps do not suit it.
        """
        if not self.params.auxiliary:
            return {}
        features: Any = neck.out_features
        head = AuxiliaryHead(features, self.num_classes, self.params.reg_max + 1)
        return {"aux_fpn": deepcopy(neck), "aux_head": head}

    def guide(self, given: TrainingMaps) -> PointOutputs:
        """What the auxiliary neck and head make of the maps."""
        neck, head = given.auxiliary["aux_fpn"], given.auxiliary["aux_head"]
        own = neck([self.pass_gradient(x) for x in given.backbone])
        both = zip(given.neck, own, strict=True)
        return self.split(head([torch.cat([self.pass_gradient(x), y], 1) for x, y in both]))

    def pass_gradient(self, x: Tensor) -> Tensor:
        """The same values; of the gradient `flow`."""
        return x.detach().lerp(x, self.flow.to(x.dtype))

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """After the first epochs the auxiliary branch learns alone."""
        self.flow.fill_(float(epoch < self.params.attached_epochs))


def nanodet_head(
    in_features: Sequence[FeatureSpec],
    *,
    num_classes: int,
    image_size: tuple[int, int],
    **params: Any,
) -> NanoDetHead:
    """Factory of the declaration."""
    return NanoDetHead(in_features, num_classes, image_size, NanoDetHeadParams(**params))
