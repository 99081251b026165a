"""Training samples through a chain of augmentations, each of them as torchvision's v2 has it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from harness.data.augment import ViewAugment
from harness.manifest.schema import Use
from harness.manifest.validation import check_params
from harness.plugin.declarations import Augmentation
from harness.plugin.manager import loaded_plugins

# An image (3, h, w) uint8 as `tv_tensors.Image`, and its objects: "boxes", `BoundingBoxes` in
# XYXY, and "labels" (N,).
Sample = tuple[Tensor, dict[str, Any]]
Others = Callable[[], Sample]


@dataclass(frozen=True)
class Link:
    """An augmentation of a chain; `images`: of how many it makes one at most."""

    augment: Callable[..., Sample]
    images: int


@dataclass(frozen=True)
class Chain:
    """Augmentations in their order."""

    links: tuple[Link, ...]

    @property
    def view(self) -> ViewAugment | None:
        """The only one, where it is drawn before any pixel is read."""
        only = self.links[0].augment if len(self.links) == 1 else None
        return only if isinstance(only, ViewAugment) else None

    @property
    def images(self) -> int:
        """Of how many one sample is made at most."""
        return math.prod(link.images for link in self.links)

    @property
    def reads_photos(self) -> bool:
        """Whether images at network size are not enough."""
        return self.view is None or self.view.cuts

    def __call__(self, sample: Sample, others: Others, closing: bool = False) -> Sample:
        """All of them.

        Args:
            others: draws another sample of the set, not augmented.
            closing: without those that make one image of several.
        """
        for link in self.links:
            if link.images == 1:
                sample = link.augment(*sample)
            elif not closing:
                sample = link.augment(*sample, others)
        return sample


def build_chain(
    uses: Sequence[Use], image_size: tuple[int, int], mean: tuple[float, float, float]
) -> Chain:
    """What a manifest names, by the plugins that are loaded.

    Args:
        image_size: (height, width) of the network's input.
        mean: RGB colour, in 0..255, for what lies outside of a photo.

    Raises:
        UserError: an unknown name, or parameters that are refused.
    """
    links = []
    for use in uses:
        declaration = loaded_plugins().get("augmentation", use.use, "train.augment").declaration
        assert isinstance(declaration, Augmentation)
        params = check_params(declaration, use.params, lambda path: "train.augment")
        links.append(build_link(declaration, params, image_size, mean))
    return Chain(tuple(links))


def build_link(
    declaration: Augmentation,
    params: Mapping[str, Any],
    image_size: tuple[int, int],
    mean: tuple[float, float, float],
) -> Link:
    """With complete parameters; see `build_chain`."""
    given: dict[str, Any] = {"image_size": image_size, "mean": mean}
    more = {name: given[name] for name in declaration.takes}
    return Link(declaration.load()(**more, **params), declaration.images)


def make_sample(photo: Tensor, boxes: Tensor, labels: Tensor) -> Sample:
    """Of (3, h, w) uint8, (N, 4) xyxy in its pixels and (N,)."""
    from torchvision import tv_tensors  # takes seconds to import, for trainings alone

    corners = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=tuple(photo.shape[1:]))
    return tv_tensors.Image(photo), {"boxes": corners, "labels": labels}
