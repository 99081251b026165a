"""Plugins for the tests of a run: a detector that can be made to fail, and slow data."""

import os
import sys
import time
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harness.data.batch import Inputs, Targets
from harness.data.folder import CocoFolder
from harness.data.resize import SquashResize
from harness.errors import CellError, UserError
from harness.model.detector import Detector
from harness.model.types import Detections
from harness.plugin.declarations import Dataset, Params, WholeDetector
from harness.plugin.hookspecs import hookimpl

Place = Literal["", "build", "losses", "network", "postprocess"]
Trouble = Literal["", "user", "cell", "bug", "exit", "nan"]


class TinyParams(Params):
    """What goes wrong, and where."""

    where: Place = ""
    what: Trouble = ""
    channels: int = 8


class SlowParams(Params):
    root: str


def dawdle(place: str) -> None:
    """Sleep as long as the environment says; no parameter, or it would change fingerprints."""
    time.sleep(float(os.environ.get(f"TINY_SLEEP_{place}", "0")))


class TinyDetector(Detector):
    """One box per cell of 16 pixels."""

    roles = {"backbone": ("stem",), "head": ("scores", "deltas")}  # noqa: RUF012

    def __init__(self, num_classes: int, where: Place, what: Trouble, channels: int) -> None:
        super().__init__()
        self.where, self.what = where, what
        self.resize = SquashResize(64, 64)
        self.stem = nn.Conv2d(3, channels, 16, stride=16)
        self.scores = nn.Conv2d(channels, num_classes, 1)
        self.deltas = nn.Conv2d(channels, 4, 1)
        self.trouble("build")

    def trouble(self, place: Place) -> None:
        if place != self.where:
            return
        if self.what == "user":
            raise UserError("does not like it", where="tiny", hint="like it")
        if self.what == "cell":
            raise CellError("cannot go on")
        if self.what == "bug":
            raise ZeroDivisionError("a bug\nof two lines")
        if self.what == "exit":
            raise SystemExit(7)

    def normalize(self, pixels: Tensor) -> Tensor:
        return pixels.float() / 255

    def network(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        self.trouble("network")
        if not self.training:
            dawdle("network")
        maps = self.stem(inputs.pixels).relu()
        scores, deltas = self.scores(maps), self.deltas(maps)
        if self.where == "network" and self.what == "nan":
            scores, deltas = scores * torch.nan, deltas * torch.nan
        return scores.flatten(2).mT, deltas.flatten(2).mT

    def postprocess(self, outputs: tuple[Tensor, Tensor], inputs: Inputs) -> Detections:
        self.trouble("postprocess")
        scores, labels = outputs[0].sigmoid().max(2)
        scores, order = scores.sort(1, descending=True)
        height, width = inputs.image_sizes.unbind(1)
        corner = torch.stack([width, height, width, height], 1).float()[:, None]
        boxes = outputs[1].sigmoid() * corner / 2
        boxes = torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:] + 1], 2)
        boxes = boxes.gather(1, order[..., None].expand_as(boxes))
        counts = torch.full((len(scores),), scores.shape[1], device=scores.device)
        return Detections(boxes, scores, labels.gather(1, order), counts)

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        self.trouble("losses")
        dawdle("losses")
        scores, deltas = self.network(inputs)
        loss = scores.square().mean() + (deltas - targets.boxes.mean() / 64).square().mean()
        return {"loss": loss * torch.nan if self.what == "nan" else loss}


class SlowFolder(CocoFolder):
    """A data set that takes its time to be ready."""

    def prepare(self) -> None:
        print("preparing", file=sys.stderr, flush=True)
        dawdle("prepare")


def build_tiny(**params: Any) -> TinyDetector:
    return TinyDetector(**params)


@hookimpl
def harness_detectors() -> list[WholeDetector]:
    return [WholeDetector("tiny", "tiny_detectors:build_tiny", TinyParams, "three convolutions")]


@hookimpl
def harness_datasets() -> list[Dataset]:
    return [Dataset("slow", "tiny_detectors:SlowFolder", SlowParams, "a slow COCO folder")]
