"""A stranger's backbone, as the one file that its author writes."""

BACKBONE = """\
from harness.model.features import FeatureSpec
from harness.plugin.declarations import Backbone, Params
from harness.plugin.hookspecs import hookimpl


class StripesParams(Params):
    width: int = 4


@hookimpl
def harness_backbones():
    return [Backbone("stripes", "{module}:build", StripesParams, "a test's four convolutions")]


def build(width):
    import torch

    class Stripes(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.out_features = tuple(FeatureSpec(f"c{{i}}", width, 2**i) for i in (3, 4, 5, 6))
            self.convs = torch.nn.ModuleList(
                torch.nn.Conv2d(3 if i == 0 else width, width, s, stride=s)
                for i, s in enumerate((8, 2, 2, 2))
            )

        def forward(self, x):
            maps = []
            for conv in self.convs:
                x = conv(x).relu()
                maps.append(x)
            return maps

    return Stripes()
"""

DETECTOR = """\
  mine:
    input: {size: 128}
    backbone: {use: stripes, params: {width: 6}}
    neck: {use: tiny_fpn, params: {groups: [7, 5, 1, 1]}}
    rpn: {use: tiny_rpn, params: {anchor_scale: 2.25}}
    roi_op: {use: psroi_align_max, params: {strides: [8, 16], finest_scale: 30}}
    box_head: tiny_box_head
"""
