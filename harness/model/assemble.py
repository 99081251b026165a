"""Plan -> detector. The only importer of factories; checks every joint."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.errors import UserError
from harness.manifest.schema import DetectorSpec, Input
from harness.model.detector import Detector
from harness.model.features import FeatureSpec, hint_sizes
from harness.plan.cells import Part
from harness.plugin.declarations import WholeDetector


def assemble(
    spec: DetectorSpec, parts: Mapping[str, Part], classes: Sequence[str], where: str = ""
) -> Detector:
    """Build a detector with fresh weights (seed torch before, for the same ones).

    Args:
        parts: role -> part, as a plan resolves them.
        classes: names of the classes, in the order of the labels.
        where: prefix of error messages, such as the detector's name.

    Raises:
        UserError: a plugin refuses its parameters or its input features, or a part's feature
            maps are not what it declares.
    """
    builder = PartsBuilder(parts, tuple(classes), spec.input, where)
    if "detector" not in parts:
        architecture = parts["architecture"]
        made: Detector = architecture.make(builder)
        return made
    declaration = parts["detector"].declaration
    assert isinstance(declaration, WholeDetector)
    extras: dict[str, Any] = {}
    if "input" in declaration.takes:
        extras["input"] = spec.input if "input" in spec.model_fields_set else None
    if "backbone" in declaration.takes:
        extras["backbone"] = builder.build_backbone() if "backbone" in parts else None
    whole: Detector = builder.build("detector", num_classes=len(classes), **extras)
    whole.classes = builder.classes
    return whole


@dataclass(frozen=True)
class PartsBuilder:
    """Builds the parts of one detector for its architecture.

    Attributes:
        parts: slot -> part.
        classes: names of the classes.
        input: of the detector.
        where: prefix of error messages.
    """

    parts: Mapping[str, Part]
    classes: tuple[str, ...]
    input: Input
    where: str = ""

    def build(self, slot: str, *inputs: Any, **context: Any) -> Any:
        """Call a part's factory; a refusal says which detector and which part it was.

        Raises:
            UserError: the part refuses its parameters or what it is given.
        """
        part = self.parts[slot]
        try:
            return part.make(*inputs, **context)
        except UserError as error:
            raise UserError(error.found, where=self.place(slot), hint=error.hint) from error

    def build_backbone(self) -> Any:
        """The backbone, after one image has shown that its maps are what it declares."""
        backbone = self._build_maps("backbone")
        self._check("backbone", backbone, torch.zeros(1, 3, *self.input.size))
        return backbone

    def build_pyramid(self) -> tuple[Any, Any]:
        """Backbone and neck; one image has passed both.

        Raises:
            UserError: one refuses, or its maps are not what it declares.
        """
        backbone = self._build_maps("backbone")
        neck = self._build_maps("neck", backbone.out_features)
        maps = self._check("backbone", backbone, torch.zeros(1, 3, *self.input.size))
        self._check("neck", neck, maps)
        return backbone, neck

    def place(self, slot: str) -> str:
        """How messages name a part: "detectors.x neck 'tiny_fpn'"."""
        return f"{self.where} {slot} '{self.parts[slot].declaration.name}'".strip()

    def _build_maps(self, slot: str, *inputs: Any) -> Any:
        """`build` of a part that must declare its feature maps."""
        module = self.build(slot, *inputs)
        declared = getattr(module, "out_features", None)
        if not isinstance(declared, Sequence) or not all(
            isinstance(f, FeatureSpec) for f in declared
        ):
            raise UserError(
                "has no out_features", where=self.place(slot), hint="a tuple of FeatureSpec"
            )
        return module

    @torch.no_grad()
    def _check(self, slot: str, module: Any, given: Any) -> Any:
        """Run a part once and compare its maps with what it declares."""
        module.eval()
        maps = self._try_out(slot, module, given)
        self._compare(slot, module.out_features, maps)
        module.train()
        return maps

    def _try_out(self, slot: str, module: Any, given: Any) -> Any:
        """Run a part once; a model with a fixed input size, for example, fails here."""
        try:
            return module(given)
        except (RuntimeError, AssertionError, ValueError) as error:
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise UserError(
                f"fails on its first image ({what})",
                where=self.place(slot),
                hint=self._hint_sizes(module.out_features),
            ) from error

    def _compare(self, slot: str, declared: Sequence[FeatureSpec], maps: Any) -> None:
        height, width = self.input.size
        expected = [(f.channels, -(-height // f.stride), -(-width // f.stride)) for f in declared]
        if not isinstance(maps, Sequence) or not all(isinstance(m, torch.Tensor) for m in maps):
            raise UserError(
                f"gives {type(maps).__name__}, not a list of tensors", where=self.place(slot)
            )
        actual = [tuple(m.shape[1:]) for m in maps]
        if expected != actual:
            same_channels = [c for c, *_ in expected] == [c for c, *_ in actual]
            sizes = self._hint_sizes(declared) if same_channels else ""
            raise UserError(
                f"declares {', '.join(map(str, declared))}, that is {expected} at "
                f"{height}x{width}, but gives {actual}",
                where=self.place(slot),
                hint=sizes or "its out_features and its forward must agree",
            )

    def _hint_sizes(self, features: Sequence[FeatureSpec]) -> str:
        """What to say where the sides of the input are not multiples of the strides, else ""."""
        divisor = math.lcm(*(feature.stride for feature in features))
        divides = all(side % divisor == 0 for side in self.input.size)
        return "" if divides else hint_sizes(self.input.size, divisor)
