"""Backbones as an author's file has them: one that is right, and ways to be wrong."""

from pathlib import Path

SOURCE = """\
import harness
from harness.plugin import Backbone, Params


class PairParams(Params):
    width: int = 8


@harness.hookimpl
def harness_backbones():
    return [Backbone("{name}", "{name}:build", PairParams, "two maps")]


def build(width):
    import torch
    from harness.model.features import FeatureSpec
    from torch import nn

    class Pair(nn.Module):
        out_features = (FeatureSpec("c3", {declared}, 8), FeatureSpec("c4", width, 16))

        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, width, 8, 8)
            self.second = nn.Conv2d(width, width, 2, 2)
            self.third = nn.Conv2d(width, width, 1)

        def forward(self, pixels):
            fine = self.first(pixels).relu()
            coarse = self.third(self.second(fine))
            {fault}
            return [fine, coarse]

    return Pair()
"""
FAULTS = {
    "right": ("pass", "width"),
    "channels": ("pass", "2 * width"),
    "loop": ("for value in coarse.mean((1, 2, 3)).tolist(): coarse = coarse + value", "width"),
    "branch": ("if fine.sum() > 0: coarse = coarse + 1", "width"),
    "gradient": ("coarse = self.third(self.second(fine)).detach()", "width"),
    "neighbours": ("coarse = coarse - coarse.mean(0)", "width"),
    "nan": ("fine = fine / pixels.amax((1, 2, 3), keepdim=True)", "width"),
    "shape": ("coarse = coarse[:, :, : int(pixels.amax() > 0) + 1]", "width"),
    "raises": ("raise ValueError('no such size')", "width"),
}


def write_plugin(folder: Path, name: str, fault: str) -> Path:
    """`name` must be new in this process."""
    statement, declared = FAULTS[fault]
    path = folder / f"{name}.py"
    path.write_text(SOURCE.format(name=name, fault=statement, declared=declared))
    return path
