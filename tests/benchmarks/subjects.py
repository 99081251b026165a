"""TinyDet and torchvision's detectors, ready to be timed against one another."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from harness.ops.boxes import assign_levels, make_rois
from harness.stages.train.launch import start_accelerator
from harness.stages.train.step import Batch
from harness.stages.train.training import Training
from harness_plugins.synthetic.scenes import draw_scene

SUITE = Path(__file__).parents[2] / "suites" / "tinydet.yaml"
BACKGROUND_BIAS = 8.0
SIDE = 320
TRAINED_IN = "float32"


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


class OneBatch:
    """The same batch at every step: a loader that never keeps anybody waiting."""

    steps_per_epoch = 1_000_000

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    @property
    def most_boxes(self) -> int:
        return self.batch[1].labels.shape[1]

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        while True:
            yield self.batch


def make_steps(
    detectors: Mapping[str, Detector],
    batch: int,
    device: torch.device,
    boxes: int = 10,
    precision: str = TRAINED_IN,
) -> dict[str, Callable[[], object]]:
    """Whole training steps as `harness run` takes them on a device by default.

    From a batch of uint8 images of 320 pixels with some boxes, in the host's memory, to new
    weights. To be run inside `arithmetic(precision)`, as the training stage does.
    """
    settings = Train(steps=OneBatch.steps_per_epoch, batch_size=batch, precision=precision)
    accelerator = start_accelerator(settings, device, seed=0)

    def make(detector: Detector) -> Callable[[], object]:
        given = draw_batch(batch, boxes, len(detector.classes), torch.device("cpu"))
        if device.type == "cuda":
            given = (given[0].pin_memory(), given[1].pin_memory())
        loader = OneBatch(given)
        training = Training(detector, loader, settings, accelerator, Path(), {})
        return lambda: training.advance([given])

    return {name: make(detector) for name, detector in detectors.items()}


def draw_batch(batch: int, boxes: int, classes: int, device: torch.device) -> Batch:
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
    """Scenes of the generated data set with a longer side of `side`, (3, h, w) uint8."""
    rng = np.random.default_rng(0)
    scenes = [draw_scene(side, rng).pixels for _ in range(count)]
    return [torch.from_numpy(pixels.copy()).permute(2, 0, 1) for pixels in scenes]


def draw_vga() -> Tensor:
    """A scene of 640x480, (3, 480, 640) uint8."""
    pixels = draw_scene(1000, np.random.default_rng(0)).pixels[:480, :640]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


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
