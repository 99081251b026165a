"""What must hold of an augmentation, tried out on a drawn photo with boxes and on one without."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from harness.conformance.examination import BOXES, Verdict
from harness.conformance.nonconforming import Problems, StopChecksError
from harness.data.augment import IMAGENET_MEAN
from harness.data.chain import Chain, Sample, build_link, make_sample
from harness.plugin.declarations import Augmentation

SIZE, SEEDS = (64, 96), 8


def examine_augmentation(declaration: Augmentation, params: Mapping[str, Any]) -> Verdict:
    """Try it with several seeds; torch's random numbers are as before afterwards."""
    problems = Problems()
    with torch.random.fork_rng(devices=[]), suppress(StopChecksError):
        with problems.during("cannot be built"):
            chain = Chain((build_link(declaration, params, SIZE, IMAGENET_MEAN),))
        for boxes, words in ((BOXES, ""), ((), " without boxes")):
            for seed in range(SEEDS):
                with problems.during(f"an image{words} raises"):
                    _try(chain, boxes, seed, problems)
    return Verdict(f"{declaration.kind} '{declaration.name}'", tuple(problems.found))


def _draw(boxes: tuple[tuple[float, ...], ...]) -> Sample:
    pixels = torch.randint(256, (3, *SIZE), dtype=torch.uint8)
    return make_sample(pixels, torch.tensor(boxes).view(-1, 4), torch.arange(len(boxes)))


def _try(chain: Chain, boxes: tuple[tuple[float, ...], ...], seed: int, problems: Problems) -> None:
    torch.manual_seed(seed)
    sample = _draw(boxes)
    before = [part.clone() for part in _parts(sample)]
    found = []
    for _ in range(2):
        torch.manual_seed(seed)
        found.append(chain(sample, lambda: _draw(boxes)))
    if not _equal(before, _parts(sample)):
        problems.add("writes to the image or the target that it is given")
    if not _equal(*map(_parts, found)):
        problems.add("gives another sample for the same seed of torch's default generator")
    image, target = found[0]
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3:
        problems.add(f"gives pixels of {image.dtype} and shape {tuple(image.shape)}, not uint8 RGB")
    corners, labels = target["boxes"], target["labels"]
    if corners.shape != (len(labels), 4):
        problems.add(f"gives boxes of shape {tuple(corners.shape)} with {len(labels)} labels")
    if str(getattr(getattr(corners, "format", None), "value", "")) != "XYXY":
        problems.add("gives boxes that are not tv_tensors.BoundingBoxes in XYXY")
    if not boxes and len(labels):
        problems.add("gives boxes where there was none")


def _parts(sample: Sample) -> list[Tensor]:
    image, target = sample
    return [part.as_subclass(Tensor) for part in (image, target["boxes"], target["labels"])]


def _equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
