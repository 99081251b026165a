"""Plan -> detector. The only importer of factories; checks every joint."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from harness.data.resize import SquashResize
from harness.errors import UserError
from harness.manifest.schema import DetectorSpec
from harness.model.detector import Detector
from harness.model.features import FeatureSpec
from harness.model.two_stage import TwoStageDetector
from harness.plan.cells import Part


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
    names = tuple(classes)
    if "detector" in parts:
        whole: Detector = _build(parts["detector"], where, num_classes=len(names))
        whole.classes = names
        return whole
    size = spec.input.size
    backbone = _build_maps(parts["backbone"], where)
    neck = _build_maps(parts["neck"], where, backbone.out_features)
    _check_maps(backbone, neck, parts, size, where)
    rpn = _build(parts["rpn"], where, neck.out_features, image_size=size)
    roi_pool = _build(parts["roi_op"], where, neck.out_features)
    pooled = roi_pool.out_feature
    head = _build(parts["box_head"], where, pooled, num_classes=len(names), image_size=size)
    return TwoStageDetector(
        backbone=backbone,
        neck=neck,
        rpn=rpn,
        roi_pool=roi_pool,
        box_head=head,
        classes=names,
        resize=SquashResize(*size),
        mean=spec.input.mean,
        std=spec.input.std,
    )


def _build(part: Part, where: str, *inputs: Any, **context: Any) -> Any:
    """Call a part's factory; a refusal says which detector and which part it was."""
    try:
        return part.declaration.load()(*inputs, **context, **part.params)
    except UserError as error:
        raise UserError(error.found, where=_place(part, where), hint=error.hint) from error


def _build_maps(part: Part, where: str, *inputs: Any) -> Any:
    """`_build` of a part that must declare its feature maps."""
    module = _build(part, where, *inputs)
    declared = getattr(module, "out_features", None)
    if not isinstance(declared, Sequence) or not all(isinstance(f, FeatureSpec) for f in declared):
        raise UserError(
            "has no out_features", where=_place(part, where), hint="a tuple of FeatureSpec"
        )
    return module


def _place(part: Part, where: str) -> str:
    return f"{where} {part.role} '{part.declaration.name}'".strip()


@torch.no_grad()
def _check_maps(
    backbone: Any, neck: Any, parts: Mapping[str, Part], size: tuple[int, int], where: str
) -> None:
    """Run one image through backbone and neck, and compare the maps with what is declared."""
    backbone.eval()
    neck.eval()
    maps = _try_out(parts["backbone"], backbone, torch.zeros(1, 3, *size), where)
    _compare(parts["backbone"], backbone.out_features, maps, size, where)
    merged = _try_out(parts["neck"], neck, maps, where)
    _compare(parts["neck"], neck.out_features, merged, size, where)
    backbone.train()
    neck.train()


def _try_out(part: Part, module: Any, given: Any, where: str) -> Any:
    """Run a part once; a model with a fixed input size, for example, fails here."""
    try:
        return module(given)
    except (RuntimeError, AssertionError, ValueError) as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(f"fails on its first image ({what})", where=_place(part, where)) from error


def _compare(
    part: Part,
    declared: Sequence[FeatureSpec],
    maps: Sequence[torch.Tensor],
    size: tuple[int, int],
    where: str,
) -> None:
    expected = [(f.channels, -(-size[0] // f.stride), -(-size[1] // f.stride)) for f in declared]
    if not isinstance(maps, Sequence) or not all(isinstance(m, torch.Tensor) for m in maps):
        raise UserError(
            f"gives {type(maps).__name__}, not a list of tensors", where=_place(part, where)
        )
    actual = [tuple(m.shape[1:]) for m in maps]
    if expected != actual:
        raise UserError(
            f"declares {', '.join(map(str, declared))}, that is {expected} at {size[0]}x{size[1]}, "
            f"but gives {actual}",
            where=_place(part, where),
            hint="its out_features and its forward must agree",
        )
