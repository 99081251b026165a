"""RPNs, RoI ops and box heads, and all that is tried out as a detector."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness.conformance.trial import (
    Given,
    OnMapsTrial,
    Size,
    Trial,
    map_misfits,
    tensors_of,
)
from harness.data.batch import Inputs, Targets
from harness.model.detector import Detector
from harness.model.features import RoiSpec
from harness.model.types import Proposals

CLASSES = 3
PROPOSALS = 12  # of an image
ROI_MAPS = "roi_maps"
POOLED = RoiSpec(5, 7, 7)  # what TinyDet pools


class RpnTrial(OnMapsTrial):
    def build(self, size: Size) -> nn.Module:
        return self.make(self.in_features, image_size=size)

    def run(self, part: Any, given: Given) -> Mapping[str, Tensor]:
        outputs = part(list(given))
        made = dict(tensors_of(outputs, "outputs"))
        made.update(tensors_of(part.propose(outputs), "proposals"))
        if hasattr(part, "roi_maps"):
            made.update(tensors_of(part.roi_maps(list(given), outputs), ROI_MAPS))
        return made

    def losses(self, part: Any, given: Given, targets: Targets) -> Mapping[str, Tensor]:
        """Its own, and in place of a box head's the squares of the maps that are pooled from."""
        outputs = part(list(given))
        found: dict[str, Tensor] = dict(part.losses(outputs, targets))
        if hasattr(part, "roi_maps"):
            maps = part.roi_maps(list(given), outputs)
            found[ROI_MAPS] = sum((x.square().mean() for x in maps), torch.zeros(()))
        return found

    def misfits(self, part: Any, size: Size, made: Mapping[str, Tensor]) -> Iterator[str]:
        yield from row_misfits(made, "proposals", {"boxes": (4,), "scores": ()})
        if hasattr(part, "roi_maps"):
            maps = {name: x for name, x in made.items() if name.startswith(f"{ROI_MAPS}[")}
            if len(maps) != len(self.in_features):
                yield f"{ROI_MAPS} gives {len(maps)} maps in place of {len(self.in_features)}"
            else:
                yield from (f"{ROI_MAPS}: {p}" for p in map_misfits(self.in_features, size, maps))


class RoiOpTrial(OnMapsTrial):
    """Blank are empty maps, and boxes without area, as padding has."""

    @property
    def ops_learn(self) -> bool:
        return True

    def build(self, size: Size) -> nn.Module:
        return self.make(self.in_features)

    def draw(self, size: Size, images: int, generator: torch.Generator) -> Given:
        maps = super().draw(size, images, generator)
        return (*maps, draw_boxes(size, images, generator))

    def trained(self, given: Given) -> Given:
        return given[:-1]  # where a box is, is the RPN's to learn

    def run(self, part: Any, given: Given) -> Mapping[str, Tensor]:
        return {"pooled": part(list(given[:-1]), given[-1])}

    def misfits(self, part: Any, size: Size, made: Mapping[str, Tensor]) -> Iterator[str]:
        spec = getattr(part, "out_feature", None)
        if not isinstance(spec, RoiSpec):
            yield "has no out_feature, a RoiSpec"
            return
        pooled = tuple(made["pooled"].shape)
        expected = (2 * PROPOSALS, spec.channels, spec.height, spec.width)
        if pooled != expected:
            yield (
                f"out_feature says {spec}, {expected} for {PROPOSALS} boxes in each of two images, "
                f"and forward gives {pooled}"
            )


@dataclass(frozen=True)
class BoxHeadTrial(Trial):
    """`in_feature`: what is pooled for each proposal."""

    in_feature: RoiSpec = POOLED

    def build(self, size: Size) -> nn.Module:
        return self.make(self.in_feature, num_classes=CLASSES, image_size=size)

    def draw(self, size: Size, images: int, generator: torch.Generator) -> Given:
        spec = self.in_feature
        shape = (images, PROPOSALS, spec.channels, spec.height, spec.width)
        pooled = torch.randn(shape, generator=generator)
        boxes = draw_boxes(size, images, generator)
        scores = torch.rand(images, PROPOSALS, generator=generator)
        inputs = Inputs(torch.zeros(images, 3, *size), *frames(size, images))
        return (pooled, boxes, scores, *inputs.tensors())

    def blank(self, given: Given) -> Given:
        return (torch.zeros_like(given[0]), *given[1:])

    def trained(self, given: Given) -> Given:
        return given[:1]

    def run(self, part: Any, given: Given) -> Mapping[str, Tensor]:
        logits, deltas = part(given[0].flatten(0, 1))
        found = part.detect(self._proposals(given), logits, deltas, Inputs(*given[3:]))
        return {"logits": logits, "deltas": deltas, **dict(tensors_of(found, "detections"))}

    def losses(self, part: Any, given: Given, targets: Targets) -> Mapping[str, Tensor]:
        spec = self.in_feature
        values = spec.channels * spec.height * spec.width
        mixed = torch.arange(4.0 * values).sin().view(4, values)  # of each box something else
        around = given[0].mean()  # so that gradients have a way to what is pooled

        def pool(boxes: Tensor) -> Tensor:
            rows = (boxes.flatten(0, 1) / 64) @ mixed + around
            return rows.view(-1, spec.channels, spec.height, spec.width)

        found: Mapping[str, Tensor] = part.losses(self._proposals(given), targets, pool)
        return found

    def misfits(self, part: Any, size: Size, made: Mapping[str, Tensor]) -> Iterator[str]:
        for name in ("logits", "deltas"):
            rows = len(made[name])
            if rows != 2 * PROPOSALS:
                yield f"{name} has {rows} rows for {2 * PROPOSALS} pooled maps"
        yield from detection_misfits(made)

    def _proposals(self, given: Given) -> Proposals:
        boxes, scores = given[1:3]
        return Proposals(boxes, scores, torch.full((len(boxes),), PROPOSALS))


@dataclass(frozen=True)
class DetectorTrial(Trial):
    """What is tried out as a detector.

    Attributes:
        builder: makes the detector of an input size, for `CLASSES` classes.
        shows_outputs: whether the network's raw outputs are tensors of one row per image, too.
    """

    builder: Callable[[Size], Detector] = field(kw_only=True)
    shows_outputs: bool = field(default=True, kw_only=True)

    def build(self, size: Size) -> nn.Module:
        return self.builder(size)

    def draw(self, size: Size, images: int, generator: torch.Generator) -> Given:
        pixels = torch.randn(images, 3, *size, generator=generator)
        return (pixels, *frames(size, images))

    def blank(self, given: Given) -> Given:
        return (torch.zeros_like(given[0]), *given[1:])

    def trained(self, given: Given) -> Given:
        return ()  # an image learns nothing

    def run(self, part: Any, given: Given) -> Mapping[str, Tensor]:
        inputs = Inputs(*given)
        outputs = part.network(inputs)
        raw = dict(tensors_of(outputs, "outputs")) if self.shows_outputs else {}
        return {**raw, **dict(tensors_of(part.postprocess(outputs, inputs), "detections"))}

    def losses(self, part: Any, given: Given, targets: Targets) -> Mapping[str, Tensor]:
        found: Mapping[str, Tensor] = part.losses(Inputs(*given), targets)
        return found

    def misfits(self, part: Any, size: Size, made: Mapping[str, Tensor]) -> Iterator[str]:
        if len(part.classes) != CLASSES:
            yield f"has {len(part.classes)} classes of {CLASSES}"
        yield from detection_misfits(made)


def draw_boxes(size: Size, images: int, generator: torch.Generator) -> Tensor:
    """(images, PROPOSALS, 4) within the image, from a few pixels to half of it."""
    sides = torch.tensor([size[1], size[0]]) / 2
    low = torch.rand(images, PROPOSALS, 2, generator=generator) * sides
    extent = 4 + torch.rand(images, PROPOSALS, 2, generator=generator) * (sides - 4)
    return torch.cat([low, low + extent], -1)


def frames(size: Size, images: int) -> tuple[Tensor, Tensor, Tensor]:
    """`sizes`, `scales` and `image_sizes` of images that are at network size already."""
    sides = torch.tensor([size] * images)
    return sides, torch.ones(images, 2), sides.clone()


def row_misfits(
    made: Mapping[str, Tensor], name: str, fields: Mapping[str, tuple[int, ...]]
) -> Iterator[str]:
    """Where padded rows of two images are not (2, N, ...) with counts from 0 to N."""
    counts, rows = made[f"{name}.counts"], made[f"{name}.boxes"].shape[1]
    for key, rest in fields.items():
        shape = tuple(made[f"{name}.{key}"].shape)
        if shape != (2, rows, *rest):
            yield f"{name}.{key} of two images has the shape {shape}, not {(2, rows, *rest)}"
    if tuple(counts.shape) != (2,) or counts.is_floating_point():
        shape = tuple(counts.shape)
        yield f"{name}.counts has the shape {shape} and is {counts.dtype}, not (2,) int64"
    elif not ((counts >= 0) & (counts <= rows)).all():
        yield f"{name}.counts are {counts.tolist()}, and there are {rows} rows"


def detection_misfits(made: Mapping[str, Tensor]) -> Iterator[str]:
    """Where detections of two images are not as `Detections` says."""
    yield from row_misfits(made, "detections", {"boxes": (4,), "scores": (), "labels": ()})
    labels = made["detections.labels"]
    if labels.is_floating_point():
        yield f"detections.labels are {labels.dtype}, not int64"
    elif not ((labels >= 0) & (labels < CLASSES)).all():
        yield f"detections.labels are not all from 0 to {CLASSES - 1}, the classes there are"
    scores, rows = made["detections.scores"], made["detections.scores"].shape[1]
    if (scores[:, 1:] > scores[:, :-1]).any():
        yield "detections are not sorted by descending score"
    padding = torch.arange(rows) >= made["detections.counts"][:, None]
    if scores[padding].any() or made["detections.boxes"][padding].any():
        yield "detections beyond their count are not zero"
