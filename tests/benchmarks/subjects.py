"""TinyDet and torchvision's detectors, ready to be timed against one another."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import ps_roi_align

import harness
from harness.data.batch import Inputs, Targets
from harness.manifest.schema import Train
from harness.model.detector import Detector
from harness.ops.levels import assign_levels, make_rois
from harness.stages.train.launch import start_accelerator
from harness.stages.train.stream import Batch
from harness.stages.train.training import Training
from harness_plugins.synthetic.scenes import draw_scene

SUITE = Path(__file__).parents[2] / "suites" / "tinydet.yaml"
BACKGROUND_BIAS = 8.0
SIDE = 320


def build(name: str, run: Path | None = None) -> Detector:
    """With the trained weights of a run folder; else with COCO's number of classes and random ones.

    Random weights get a bias towards background, so that NMS has no more work than it has under
    trained ones.
    """
    torch.manual_seed(0)
    if run is not None:
        checkpoint = run / "cells" / name / "seed0" / "checkpoint.pt"
        return harness.build(SUITE, name, checkpoint=checkpoint)
    detector = harness.build(SUITE, name, classes=80)
    with torch.no_grad():
        for layer, background in _background_scores(detector):
            layer.bias[background] += BACKGROUND_BIAS
    return detector


def _background_scores(detector: Any) -> list[tuple[Any, Any]]:
    """Layers that score classes, with the outputs that stand for background."""
    if hasattr(detector, "bbox_head"):
        return [(detector.bbox_head.fc_cls, 0)]
    if hasattr(detector.model, "roi_heads"):
        return [(detector.model.roi_heads.box_predictor.cls_score, 0)]
    head = detector.model.head.classification_head
    return [(block[-1], slice(None, None, head.num_columns)) for block in head.module_list]


def make_step(
    detector: Detector, batch: int, compiled: bool = False, boxes: int = 10
) -> Callable[[], None]:
    """A training step, forward and backward, on random images of 320 pixels with some boxes."""
    inputs, targets = draw_batch(batch, boxes, len(detector.classes), detector.device)
    detector.train()
    losses = torch.compile(detector.losses) if compiled else detector.losses

    def step() -> None:
        detector.zero_grad(set_to_none=True)
        found = losses(detector.prepare(inputs), targets)
        torch.stack(list(found.values())).sum().backward()

    return step


@dataclass(frozen=True)
class Loader:
    """What a training asks of a loader before it takes a step."""

    most_boxes: int
    steps_per_epoch: int = 10**6

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        raise NotImplementedError


def make_loop_step(
    detector: Detector, batch: int, how: str = "auto", boxes: int = 10
) -> Callable[[], None]:
    """A step as the training stage takes it, from uint8 images to new weights.

    Captured (`how` is a value of `train.step`), it is replayed from the fifth call on.
    """
    given = draw_batch(batch, boxes, len(detector.classes), detector.device)
    settings = Train.model_validate({"steps": 10**6, "batch_size": batch, "step": how})
    accelerator = start_accelerator(settings, detector.device, 0)
    about = {"fingerprint": ""}
    training = Training(detector, Loader(boxes), settings, accelerator, Path(), about)

    def step() -> None:
        training.advance([given])

    return step


def draw_batch(
    batch: int, boxes: int, classes: int, device: torch.device
) -> tuple[Inputs, Targets]:
    """On the device, so that a step is the step alone."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (batch, 3, SIDE, SIDE), generator=generator).to(torch.uint8)
    sizes = torch.full((batch, 2), SIDE)
    corners = torch.rand(batch, boxes, 2, generator=generator) * 250
    sides = 8 + torch.rand(batch, boxes, 2, generator=generator) * 60
    labels = torch.randint(0, classes, (batch, boxes), generator=generator)
    counts = torch.full((batch,), boxes)
    targets = Targets(torch.cat([corners, corners + sides], 2), labels, counts)
    return Inputs(pixels, sizes, torch.ones(batch, 2), sizes).to(device), targets.to(device)


def draw_photos(count: int, side: int = 640) -> list[Tensor]:
    """Scenes of the generated data set, (3, h, w) uint8."""
    rng = np.random.default_rng(0)
    scenes = [draw_scene(side, rng).pixels for _ in range(count)]
    return [torch.from_numpy(pixels.copy()).permute(2, 0, 1) for pixels in scenes]


def proposals(images: int, count: int) -> Tensor:
    """(images, count, 4) boxes of 4 to 104 pixels, most of them small."""
    generator = torch.Generator().manual_seed(0)
    low = torch.rand((images, count, 2), generator=generator) * 256
    sides = torch.rand((images, count, 2), generator=generator).square() * 100 + 4
    return torch.cat([low, low + sides], -1)


def pool_with_torchvision(
    maps: Sequence[Tensor], boxes: Tensor, strides: Sequence[int], finest: float
) -> list[Tensor]:
    """torchvision's op on the same boxes of each map: means, and the parts not put together."""
    rois, levels = make_rois(boxes, True), assign_levels(boxes, finest, len(maps)).flatten()
    return [
        ps_roi_align(x, rois[levels == level], 7, 1 / stride, 2)
        for level, (x, stride) in enumerate(zip(maps, strides, strict=True))
    ]
