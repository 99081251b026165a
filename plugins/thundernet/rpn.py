"""ThunderNet's RPN, and the spatial attention that it gives to what is pooled.

Paper: https://arxiv.org/abs/1903.11752, section 3.2; after https://arxiv.org/abs/1506.01497. What
the paper leaves open (norms and activations between the convolutions, matching, the loss) is the
authors' program's (https://github.com/qinzheng93/ThunderNet at 7383b5b), as names of modules are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.batch import Targets
from harness.errors import UserError
from harness.model.anchors import centered_anchors, check_maps, check_size, grid_anchors
from harness.model.box_losses import (
    NEGATIVE,
    match_boxes,
    matched_rows,
    objectness_sum,
    select_samples,
    smooth_l1_sum,
)
from harness.model.features import FeatureSpec, describe_specs, require_strides_divide
from harness.model.processes import mean_over_processes
from harness.model.types import AnchorLevel, Proposals
from harness.ops import nms_padded, pairwise_ious, select_anchors, select_boxes
from harness.ops.boxes import encode_boxes
from harness_plugins.thundernet.params import ThunderRpnParams

MAX_LOG_RATIO = abs(math.log(16 / 1000))  # the largest change of a side's logarithm
LEAST_INSIDE = 1.0  # pixels of a clipped box at least


@dataclass(frozen=True)
class ThunderRpnOutputs:
    """For A anchors of each cell.

    Attributes:
        logits: (B, A, H, W).
        deltas: (B, 4A, H, W).
        attention: (B, C, H, W) in [0, 1], for a neck's map of C channels.
    """

    logits: Tensor
    deltas: Tensor
    attention: Tensor


class ThunderRpn(nn.Module):
    """Objectness and box deltas for every anchor of one map; proposals; losses; attention.

    Args:
        in_features: one map.
        image_size: (height, width) of the network's input, a multiple of its stride.
        params: everything else.

    Raises:
        UserError: there is not one map, or the image size does not fit.
    """

    anchors: Tensor

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        image_size: tuple[int, int],
        params: ThunderRpnParams,
    ) -> None:
        super().__init__()
        if len(in_features) != 1:
            raise UserError(
                f"thunder_rpn is given {describe_specs(in_features) or 'no features'}",
                hint="it takes a single map, as thunder_cem gives it",
            )
        require_strides_divide("thunder_rpn", in_features, image_size)
        self.image_size, self.params = image_size, params
        channels, self.stride = in_features[0].channels, in_features[0].stride
        per_cell, hidden = len(params.sides) * len(params.ratios), params.hidden
        self.rpn_conv = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
        )
        self.sam_convs = nn.Sequential(
            nn.Conv2d(hidden, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.Sigmoid()
        )
        self.rpn_cls = nn.Conv2d(hidden, per_cell, 1)
        self.rpn_reg = nn.Conv2d(hidden, 4 * per_cell, 1)
        for conv in (m for m in self.modules() if isinstance(m, nn.Conv2d)):
            nn.init.normal_(conv.weight, std=0.01)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        self.cells = (image_size[0] // self.stride, image_size[1] // self.stride)
        # around a cell's upper left corner, as in the authors' program; the paper says nothing
        base = centered_anchors(params.sides, params.ratios)
        anchors = grid_anchors(self.cells, self.stride, base)
        # derived from the parameters, so not part of a checkpoint
        self.register_buffer("anchors", anchors, persistent=False)

    def forward(self, features: list[Tensor]) -> ThunderRpnOutputs:
        (x,) = features
        check_maps(self.image_size, [self.cells], features)
        hidden = self.rpn_conv(x)
        return ThunderRpnOutputs(self.rpn_cls(hidden), self.rpn_reg(hidden), self.sam_convs(hidden))

    def roi_maps(self, features: list[Tensor], outputs: ThunderRpnOutputs) -> list[Tensor]:
        """The neck's map times the attention, from which proposals are pooled."""
        return [features[0] * outputs.attention]

    @property
    def positive_iou(self) -> float:
        return self.params.positive_iou

    def anchor_levels(self, size: tuple[int, int]) -> list[AnchorLevel]:
        """The anchors, including those that reach out of the image.

        Raises:
            ValueError: they are for another size.
        """
        check_size(self.image_size, size)
        return [AnchorLevel(self.stride, self.anchors)]

    @torch.no_grad()
    def propose(self, outputs: ThunderRpnOutputs) -> Proposals:
        """Best boxes after NMS; padded to a fixed number."""
        p = self.params
        total = p.train_proposals if self.training else p.test_proposals
        boxes, scores, counts = select_anchors(
            [outputs.logits],
            [outputs.deltas],
            self.anchors,
            p.candidates,
            self.image_size,
            MAX_LOG_RATIO,
            LEAST_INSIDE,
        )
        limit = min(total, scores.shape[2])
        kept, kept_counts = nms_padded(boxes[:, 0], counts[:, 0], p.nms_iou, limit)
        chosen = kept[:, None], kept_counts[:, None]
        found = select_boxes(boxes, scores, limit, -1.0, chosen)
        return Proposals(found[0], found[1], found[3])

    def losses(self, outputs: ThunderRpnOutputs, targets: Targets) -> dict[str, Tensor]:
        """`loss_rpn_cls` and `loss_rpn_bbox`, over the sampled anchors of the batch."""
        targets, p = targets.at_least_one(), self.params
        matched = self._match(targets)
        keys = targets.draw(matched.shape[1])
        samples = select_samples(
            matched >= 0, matched == NEGATIVE, keys, p.samples, p.positive_fraction
        )
        logits = outputs.logits.permute(0, 2, 3, 1).flatten(1).gather(1, samples.indices)
        deltas = outputs.deltas.permute(0, 2, 3, 1).reshape(len(logits), -1, 4)
        deltas = matched_rows(deltas, samples.indices)
        truths = matched_rows(targets.boxes, matched.gather(1, samples.indices))
        box_targets = encode_boxes(truths, self.anchors[samples.indices])
        count = mean_over_processes(samples.valid.sum()).clamp(min=1)
        objectness = objectness_sum(logits, samples.positive, samples.valid)
        boxes = smooth_l1_sum(deltas, box_targets, samples.positive, p.beta)
        return {"loss_rpn_cls": objectness / count, "loss_rpn_bbox": boxes / count}

    @torch.no_grad()
    def _match(self, targets: Targets) -> Tensor:
        """Anchors that reach out of the image are trained on, too."""
        everywhere = torch.ones(1, len(self.anchors), dtype=torch.bool, device=self.anchors.device)
        return match_boxes(
            pairwise_ious(targets.boxes, self.anchors[None]),
            targets.valid,
            everywhere,
            positive_iou=self.params.positive_iou,
            negative_iou=self.params.negative_iou,
            min_positive_iou=self.params.min_positive_iou,
        )


def thunder_rpn(
    in_features: Sequence[FeatureSpec], *, image_size: tuple[int, int], **params: Any
) -> ThunderRpn:
    """Factory of the declaration."""
    return ThunderRpn(in_features, image_size, ThunderRpnParams(**params))
