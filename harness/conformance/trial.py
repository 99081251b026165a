"""How one kind of part is tried out: all that the examination must know of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.batch import Targets
from harness.model.features import FeatureSpec
from harness.plugin.declarations import Declaration

Size = tuple[int, int]
Given = tuple[Tensor, ...]
# multiples of 64, the coarsest stride of the shipped parts; higher, wider, larger
SIZES: tuple[Size, ...] = ((64, 64), (128, 64), (128, 192))


@dataclass(frozen=True)
class Trial(ABC):
    """A declaration with its parameters, and what it is tried out on.

    Attributes:
        declaration: of the part.
        params: checked and complete.
        sizes: (height, width) of the images; the last one serves for all that needs only one.
    """

    declaration: Declaration
    params: Mapping[str, Any]
    sizes: Sequence[Size] = SIZES

    def __str__(self) -> str:
        return f"{self.declaration.kind} '{self.declaration.name}'"

    @abstractmethod
    def build(self, size: Size) -> nn.Module:
        """A fresh part for images of this size."""

    def make(self, *inputs: Any, **context: Any) -> nn.Module:
        """Call the part's factory."""
        part: nn.Module = make(self.declaration, self.params, *inputs, **context)
        return part

    @abstractmethod
    def draw(self, size: Size, images: int, generator: torch.Generator) -> Given:
        """What the part is given of so many images: tensors whose first dimension is the batch."""

    @abstractmethod
    def run(self, part: Any, given: Given) -> Mapping[str, Tensor]:
        """What it makes of it, by name: tensors of one row per image, or equally many per image."""

    def losses(self, part: Any, given: Given, targets: Targets) -> Mapping[str, Tensor]:
        """Scalars from which gradients start; `targets` in network pixels.

        Of a part without losses of its own: all that it makes, each value weighted at random.
        """
        generator = torch.Generator().manual_seed(2)
        return {
            name: (made * torch.randn(made.shape, generator=generator)).sum()
            for name, made in self.run(part, given).items()
        }

    def misfits(self, part: Any, size: Size, made: Mapping[str, Tensor]) -> Iterator[str]:
        """What of the result is not as the part declares."""
        yield from ()

    @property
    def has_losses(self) -> bool:
        """Whether the losses are the part's own, and so must compile and survive empty images."""
        return type(self).losses is not Trial.losses

    def trained(self, given: Given) -> Given:
        """What of the given tensors learns, so that gradients must reach one of them."""
        return given

    @property
    def ops_learn(self) -> bool:
        """Whether every op of its own that the part calls has a gradient."""
        return False

    def blank(self, given: Given) -> Given:
        """The same without content: nothing is to be found."""
        return tuple(torch.zeros_like(tensor) for tensor in given)


@dataclass(frozen=True)
class OnMapsTrial(Trial):
    """Of a part that is given feature maps: `in_features`."""

    in_features: Sequence[FeatureSpec] = ()

    def draw(self, size: Size, images: int, generator: torch.Generator) -> Given:
        """Noise in the form of the maps."""
        return tuple(
            torch.randn(
                images, f.channels, *(-(-side // f.stride) for side in size), generator=generator
            )
            for f in self.in_features
        )


def make(declaration: Declaration, params: Mapping[str, Any], *inputs: Any, **context: Any) -> Any:
    """Call a factory as assembly does."""
    return declaration.load()(*inputs, **context, **params)


def map_misfits(declared: Any, size: Size, made: Mapping[str, Tensor]) -> Iterator[str]:
    """Where feature maps, in the order in which they were made, are not what specs say."""
    if len(declared) != len(made):
        yield f"out_features says {len(declared)} maps, and forward gives {len(made)}"
    for level, (spec, tensor) in enumerate(zip(declared, made.values(), strict=False)):
        name = f"level {level} ({spec.name})"
        if tensor.ndim != 4:
            yield f"{name} has the shape {tuple(tensor.shape)}, not (B, C, H, W)"
            continue
        if tensor.shape[1] != spec.channels:
            yield f"{name} says {spec.channels} channels, and gives {tensor.shape[1]}"
        expected = tuple(-(-side // spec.stride) for side in size)
        if tuple(tensor.shape[2:]) != expected:
            yield (
                f"{name} says stride {spec.stride}, {expected[0]}x{expected[1]} cells of an image "
                f"of {size[0]}x{size[1]}, and gives {tensor.shape[2]}x{tensor.shape[3]}"
            )


def tensors_of(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dataclasses, mappings and sequences, with its name."""
    if isinstance(value, Tensor):
        yield name, value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name), f"{name}.{field.name}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from tensors_of(item, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from tensors_of(item, f"{name}[{index}]")
