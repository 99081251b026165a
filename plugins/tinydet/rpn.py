"""TinyRPN: one separable convolution, shared over the levels of a sparse pyramid.

Paper: https://arxiv.org/abs/2304.03428, section 3.2; after https://arxiv.org/abs/1506.01497.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.batch import Targets
from harness.model.anchors import check_maps, check_size, grid_anchors
from harness.model.box_losses import (
    NEGATIVE,
    Samples,
    match_boxes,
    matched_rows,
    objectness_sum,
    select_samples,
    smooth_l1_sum,
)
from harness.model.features import (
    FeatureSpec,
    require_one_width,
    require_pyramid,
    require_strides_divide,
)
from harness.model.processes import mean_over_processes
from harness.model.types import AnchorLevel, Proposals
from harness.ops import (
    nms_padded,
    pack_separable,
    pairwise_ious,
    select_anchors,
    select_boxes,
)
from harness.ops import separable_conv as separable_rows
from harness.ops.boxes import encode_boxes
from harness_plugins.tinydet.boxes import (
    LEAST_INSIDE,
    MAX_LOG_RATIO,
    anchors_inside,
    base_anchors,
)
from harness_plugins.tinydet.params import TinyRpnParams
from harness_plugins.tinydet.separable import (
    FusedSeparable,
    SeparableConv,
    aligned,
    bias_of,
    find_neighbours,
    join_outputs,
    join_rows,
    require_groups,
    separable_at,
    split_rows,
    take_rows,
)


@dataclass(frozen=True)
class RpnOutputs:
    """One (B, A, H, W) of logits and one (B, 4A, H, W) of deltas per level.

    In training both are without gradient: `TinyRpn.losses` recomputes those that it samples.

    Attributes:
        rows: of the maps that both are computed from; see `join_rows`. None in fused inference.
    """

    logits: tuple[Tensor, ...]
    deltas: tuple[Tensor, ...]
    rows: Callable[[], Tensor] | None = None


class TinyRpn(nn.Module):
    """Objectness and box deltas for every anchor; proposals; losses.

    Args:
        in_features: maps of one width, finest first, each twice as coarse as the one before.
        image_size: (height, width) of the network's input, a multiple of every stride.
        params: everything else.

    Raises:
        UserError: the maps or the image size do not fit.
    """

    anchors: Tensor
    inside: Tensor
    neighbours: Tensor

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        image_size: tuple[int, int],
        params: TinyRpnParams,
    ) -> None:
        super().__init__()
        _check_joint(in_features, image_size, params.groups)
        self.image_size, self.params = image_size, params
        channels, ratios = in_features[0].channels, params.ratios
        self.rpn_conv = SeparableConv(channels, params.groups)
        self.rpn_cls = nn.Conv2d(channels, len(ratios), 1)
        self.rpn_reg = nn.Conv2d(channels, 4 * len(ratios), 1)
        for conv in (m for m in self.modules() if isinstance(m, nn.Conv2d)):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(bias_of(conv))
        self.fused: FusedSeparable | None = None
        self.strides = [f.stride for f in in_features]
        self.sizes = [(image_size[0] // s, image_size[1] // s) for s in self.strides]
        levels = [
            grid_anchors(size, s, base_anchors(s, params.anchor_scale, ratios))
            for size, s in zip(self.sizes, self.strides, strict=True)
        ]
        self.level_sizes = [len(level) for level in levels]
        anchors = torch.cat(levels)
        # derived from the parameters, so not part of a checkpoint
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("inside", anchors_inside(anchors, image_size), persistent=False)
        self.register_buffer("neighbours", find_neighbours(self.sizes), persistent=False)

    def forward(self, features: list[Tensor]) -> RpnOutputs:
        check_maps(self.image_size, self.sizes, features)
        if self.training:
            return self._forward_training(features)
        if self.fused is not None:
            layer = self.fused_outputs
            hidden = self.fused.rows(features)
            return RpnOutputs(*self._predict(hidden, layer.weight, layer.bias, features))
        maps = [F.relu(self.rpn_conv(x), inplace=True) for x in features]
        logits = tuple(self.rpn_cls(x) for x in maps)
        deltas = tuple(self.rpn_reg(x) for x in maps)
        return RpnOutputs(logits, deltas, lambda: join_rows(features))

    def fuse_for_inference(self) -> None:
        """One launch for all levels' hidden maps, one product for all outputs."""
        self.fused = FusedSeparable([self.rpn_conv.layers] * len(self.level_sizes), relu=True)
        weight, bias = join_outputs([self.rpn_cls, self.rpn_reg], self.fused.padded)
        self.fused_outputs = nn.Linear(*weight.T.shape).to(weight).requires_grad_(False)
        self.fused_outputs.load_state_dict({"weight": weight, "bias": bias})

    def _forward_training(self, features: list[Tensor]) -> RpnOutputs:
        """Everywhere as in inference, for the proposals; a gradient have only sampled anchors."""
        rows = join_rows(features)
        with torch.no_grad():
            weights = pack_separable(*self.rpn_conv.layers)
            padded = aligned(rows.shape[2])
            maps = split_rows(rows, features)
            hidden = separable_rows(maps, [weights] * len(maps), padded, relu=True)
            weight, bias = join_outputs([self.rpn_cls, self.rpn_reg], padded)
            logits, deltas = self._predict(hidden, weight, bias, features)
        return RpnOutputs(logits, deltas, lambda: rows)

    def _predict(
        self, hidden: Tensor, weight: Tensor, bias: Tensor, features: list[Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Logits and deltas of each level from hidden rows (B, cells of all, C or more)."""
        found = F.linear(hidden, weight, bias)
        per_cell = self.rpn_cls.out_channels
        logits = split_rows(found[..., :per_cell], features)
        deltas = split_rows(found[..., per_cell : 5 * per_cell], features)
        return tuple(logits), tuple(deltas)

    @property
    def positive_iou(self) -> float:
        return self.params.positive_iou

    def anchor_levels(self, size: tuple[int, int]) -> list[AnchorLevel]:
        """Anchors of each map, including those outside the image, which are not trained on.

        Raises:
            ValueError: the anchors are for another size.
        """
        check_size(self.image_size, size)
        levels = torch.split(self.anchors, self.level_sizes)
        return [AnchorLevel(s, boxes) for s, boxes in zip(self.strides, levels, strict=True)]

    @torch.no_grad()
    def propose(self, outputs: RpnOutputs) -> Proposals:
        """Best boxes of all levels after NMS within each; padded to a fixed number."""
        p = self.params
        per_level, total = (
            (p.train_per_level, p.train_proposals)
            if self.training
            else (p.test_per_level, p.test_proposals)
        )
        boxes, scores, counts = select_anchors(
            outputs.logits,
            outputs.deltas,
            self.anchors,
            per_level,
            self.image_size,
            MAX_LOG_RATIO,
            LEAST_INSIDE,
        )
        batch, levels, most = scores.shape
        # No more boxes of one level can be among the best of all.
        kept, kept_counts = nms_padded(
            boxes.flatten(0, 1), counts.flatten(), p.nms_iou, min(total, most)
        )
        # Equal scores stay in order: finer levels first, and within a level in the order of NMS.
        kept_of_levels = kept.view(batch, levels, -1), kept_counts.view(batch, levels)
        limit = min(total, levels * kept.shape[1])
        found = select_boxes(boxes, scores, limit, -1.0, kept_of_levels)
        return Proposals(found[0], found[1], found[3])

    def losses(self, outputs: RpnOutputs, targets: Targets) -> dict[str, Tensor]:
        """`loss_rpn_cls` and `loss_rpn_bbox`, over the sampled anchors of the batch."""
        matched = self._match(targets := targets.at_least_one())
        samples = self._sample(matched, targets)
        assert outputs.rows is not None, "a fused part has no losses"
        logits, deltas = self._predict_at(outputs.rows(), samples.indices)
        truths = matched_rows(targets.boxes, matched.gather(1, samples.indices))
        box_targets = encode_boxes(truths, self.anchors[samples.indices])
        total = samples.positive.sum(1).clamp(min=1) + samples.negative.sum(1).clamp(min=1)
        objectness = objectness_sum(logits, samples.positive, samples.valid)
        boxes = smooth_l1_sum(deltas, box_targets, samples.positive, self.params.beta)
        count = mean_over_processes(total.sum())
        return {"loss_rpn_cls": objectness / count, "loss_rpn_bbox": boxes / count}

    def _predict_at(self, rows: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, S) and deltas (B, S, 4) of some anchors, recomputed with a gradient.

        Losses use a few hundred of tens of thousands: the backward pass then involves only those
        and the cells around them, while the dense maps' gradient would be almost all zero.
        """
        per_cell = len(self.params.ratios)
        chosen = (indices % per_cell)[..., None]
        patches = take_rows(rows, self.neighbours[indices // per_cell].flatten(1))
        hidden = F.relu(separable_at(torch.unflatten(patches, 1, (-1, 9)), *self.rpn_conv.layers))
        logits = F.linear(hidden, self.rpn_cls.weight.flatten(1), self.rpn_cls.bias)
        deltas = F.linear(hidden, self.rpn_reg.weight.flatten(1), self.rpn_reg.bias)
        of_anchor = (chosen * 4 + torch.arange(4, device=indices.device)).expand(-1, -1, 4)
        return logits.gather(2, chosen)[..., 0], deltas.gather(2, of_anchor)

    @torch.no_grad()
    def _match(self, targets: Targets) -> Tensor:
        return match_boxes(
            pairwise_ious(targets.boxes, self.anchors[None]),
            targets.valid,
            self.inside[None],
            positive_iou=self.params.positive_iou,
            negative_iou=self.params.negative_iou,
            min_positive_iou=self.params.min_positive_iou,
        )

    def _sample(self, matched: Tensor, targets: Targets) -> Samples:
        keys = targets.draw(matched.shape[1])
        limit, fraction = self.params.samples, self.params.positive_fraction
        return select_samples(matched >= 0, matched == NEGATIVE, keys, limit, fraction)


def tiny_rpn(
    in_features: Sequence[FeatureSpec], *, image_size: tuple[int, int], **params: Any
) -> TinyRpn:
    """Factory of the declaration."""
    return TinyRpn(in_features, image_size, TinyRpnParams(**params))


def _check_joint(
    in_features: Sequence[FeatureSpec], image_size: tuple[int, int], groups: int
) -> None:
    require_pyramid("tiny_rpn", in_features)
    require_one_width("tiny_rpn", in_features)
    require_groups("tiny_rpn", in_features[0].channels, groups)
    require_strides_divide("tiny_rpn", in_features, image_size)
