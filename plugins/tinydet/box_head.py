"""TinyDet's box head: one shared layer, softmax scores and class-agnostic boxes.

Paper: https://arxiv.org/abs/2304.03428, section 3.3; after Light-Head R-CNN,
https://arxiv.org/abs/1711.07264. Hard-example mining: https://arxiv.org/abs/1604.03540. Soft-NMS:
https://arxiv.org/abs/1704.04503.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.batch import Inputs, Targets
from harness.model.box_losses import (
    NEGATIVE,
    Samples,
    cross_entropy_sum,
    match_boxes,
    matched_rows,
    select_samples,
    self_matches,
    smooth_l1_sum,
)
from harness.model.features import RoiSpec
from harness.model.processes import mean_over_processes
from harness.model.types import Detections, Proposals
from harness.ops import pairwise_ious, select_boxes, soft_nms_padded
from harness.ops.boxes import encode_boxes
from harness_plugins.tinydet.boxes import (
    InclusiveFrame,
    clip_boxes,
    decode_boxes,
)
from harness_plugins.tinydet.params import TinyBoxHeadParams


class TinyBoxHead(nn.Module):
    """Scores and refines proposals. Inside, class 0 is background; outside, labels start at 0.

    Args:
        in_feature: what the RoI op pools for a proposal.
        num_classes: without background.
        image_size: (height, width) of the network's input; boxes are clipped to it.
        params: everything else.
    """

    stds: Tensor

    def __init__(
        self,
        in_feature: RoiSpec,
        num_classes: int,
        image_size: tuple[int, int],
        params: TinyBoxHeadParams,
    ) -> None:
        super().__init__()
        self.num_classes, self.image_size, self.params = num_classes, image_size, params
        self.frame = InclusiveFrame()
        inputs = in_feature.channels * in_feature.height * in_feature.width
        shared = nn.Linear(inputs, params.hidden)
        self.shared_fcs = nn.ModuleList([shared])
        self.fc_cls = nn.Linear(params.hidden, num_classes + 1)
        self.fc_reg = nn.Linear(params.hidden, 4)
        # derived from the parameters, so not part of a checkpoint
        self.register_buffer("stds", torch.tensor(params.stds), persistent=False)
        nn.init.xavier_uniform_(shared.weight)
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.normal_(self.fc_reg.weight, std=0.001)
        for layer in (shared, self.fc_cls, self.fc_reg):
            nn.init.zeros_(layer.bias)

    @property
    def selection(self) -> dict[str, Any]:
        p = self.params
        return {
            "score_threshold": p.min_score,
            "nms": f"linear soft-NMS, IoU {p.soft_nms_iou:g}, scores from {p.soft_nms_min_score:g}",
            "detections_per_image": p.detections,
        }

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, h, w) -> logits (N, num_classes + 1), background first, and deltas (N, 4)."""
        hidden = F.relu(self.shared_fcs[0](pooled.flatten(1)), inplace=True)
        return self.fc_cls(hidden), self.fc_reg(hidden)

    def losses(
        self, proposals: Proposals, targets: Targets, pool: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """`loss_cls` and `loss_bbox`, over the hardest proposals of each image."""
        targets = targets.at_least_one()
        boxes = torch.cat([targets.boxes, proposals.boxes], 1)
        matched = self._match(proposals, targets)
        labels = self._labels(matched, targets)
        samples = self._mine(boxes, matched, labels, pool)
        boxes = boxes.gather(1, samples.indices[..., None].expand(-1, -1, 4))
        truths = matched_rows(targets.boxes, matched.gather(1, samples.indices))
        box_targets = encode_boxes(truths, boxes) / self.stds
        logits, deltas = self(pool(boxes))
        labels, chosen = labels.gather(1, samples.indices).flatten(), samples.valid.flatten()
        total = mean_over_processes(chosen.sum()).clamp(min=1)
        scores = cross_entropy_sum(logits, labels, chosen)
        corners = smooth_l1_sum(
            deltas, box_targets.flatten(0, 1), samples.positive.flatten(), self.params.beta
        )
        return {"loss_cls": scores / total, "loss_bbox": corners / total}

    def detect(
        self, proposals: Proposals, logits: Tensor, deltas: Tensor, inputs: Inputs
    ) -> Detections:
        """Soft-NMS class by class in image pixels, then the best of all classes."""
        p, (batch, count) = self.params, proposals.scores.shape
        scores = logits.float().softmax(-1)[:, 1:].view(batch, count, -1).transpose(1, 2)
        boxes = self._refine(proposals, deltas, inputs)
        scores = soft_nms_padded(
            boxes,
            scores,
            proposals.counts,
            score_threshold=p.min_score,
            iou_threshold=p.soft_nms_iou,
            min_score=p.soft_nms_min_score,
        )
        shared = boxes[:, None].expand(-1, self.num_classes, -1, -1)
        limit = min(p.detections, self.num_classes * count)
        return Detections(*select_boxes(shared, scores, limit, 0.0))

    def _match(self, proposals: Proposals, targets: Targets) -> Tensor:
        """(B, G + P): ground truths, which are proposals too, stand for themselves."""
        iou = self.params.positive_iou
        matched = match_boxes(
            pairwise_ious(targets.boxes, proposals.boxes),
            targets.valid,
            proposals.valid,
            positive_iou=iou,
            negative_iou=iou,
            min_positive_iou=iou,
        )
        return torch.cat([self_matches(targets.valid), matched], 1)

    def _labels(self, matched: Tensor, targets: Targets) -> Tensor:
        labels = targets.labels.gather(1, matched.clamp(min=0)) + 1
        return labels * (matched >= 0)

    @torch.no_grad()
    def _mine(
        self, boxes: Tensor, matched: Tensor, labels: Tensor, pool: Callable[[Tensor], Tensor]
    ) -> Samples:
        logits, _ = self(pool(boxes))
        losses = F.cross_entropy(logits.float(), labels.flatten(), reduction="none")
        return select_samples(
            matched >= 0,
            matched == NEGATIVE,
            losses.view_as(matched),
            self.params.samples,
            self.params.positive_fraction,
        )

    def _refine(self, proposals: Proposals, deltas: Tensor, inputs: Inputs) -> Tensor:
        """(B, P, 4) in image pixels."""
        deltas = deltas.float().view_as(proposals.boxes) * self.stds
        boxes = clip_boxes(decode_boxes(deltas, proposals.boxes), self.image_size)
        return self.frame.to_image(boxes, inputs)


def tiny_box_head(
    in_feature: RoiSpec, *, num_classes: int, image_size: tuple[int, int], **params: Any
) -> TinyBoxHead:
    """Factory of the declaration."""
    return TinyBoxHead(in_feature, num_classes, image_size, TinyBoxHeadParams(**params))
