"""A neck, a box head and a RoI op with faults, as an author's file has them."""

SOURCE = """\
import torch
from torch import Tensor, nn
import harness
from harness.plugin import BoxHead, Neck, NoParams, RoiOp


@harness.hookimpl
def harness_necks():
    return [Neck("{name}", "{name}:FaultyNeck", NoParams, "forgets its weights")]


@harness.hookimpl
def harness_roi_ops():
    return [RoiOp("{name}", "{name}:FaultyPool", NoParams, "an op with a wrong fake")]


@harness.hookimpl
def harness_box_heads():
    return [BoxHead("{name}", "{name}:FaultyHead", NoParams, "an endless loss")]


class FaultyNeck(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.out_features = tuple(in_features)
        channels = in_features[0].channels
        self.conv = nn.Conv2d(channels, channels, 1)
        self.secret = torch.rand(1)

    def forward(self, features):
        first, *others = (x.detach() for x in features)
        return [self.conv(first) * self.secret, *others]


@torch.library.custom_op("{name}::pool", mutates_args=())
def pool(maps: Tensor, boxes: Tensor) -> Tensor:
    return maps.mean((2, 3)).repeat_interleave(boxes.shape[1], 0)[..., None, None]


@pool.register_fake
def _(maps, boxes):
    return maps.new_empty(len(maps) * boxes.shape[1], maps.shape[1] + 1, 1, 1)


class FaultyPool(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        from harness.model.features import RoiSpec
        self.out_feature = RoiSpec(in_features[0].channels, 1, 1)

    def forward(self, features, boxes):
        return pool(features[0], boxes)


class FaultyHead(nn.Module):
    def __init__(self, in_feature, num_classes, image_size):
        super().__init__()
        self.classes = num_classes
        values = in_feature.channels * in_feature.height * in_feature.width
        self.scores, self.deltas = nn.Linear(values, num_classes), nn.Linear(values, 4)

    def forward(self, pooled):
        rows = pooled.flatten(1)
        return self.scores(rows), self.deltas(rows)

    def losses(self, proposals, targets, pool):
        logits, _ = self(pool(proposals.boxes))
        return {{"loss_cls": logits.square().mean() / targets.counts.min()}}

    def detect(self, proposals, logits, deltas, inputs):
        from harness.model.types import Detections
        scores, labels = logits.view(*proposals.scores.shape, -1).max(-1)
        return Detections(proposals.boxes, scores, labels + 1, proposals.counts)
"""
