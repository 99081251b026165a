"""timm models as backbones.

R. Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import timm
from torch import Tensor, nn

from harness.errors import UserError
from harness.model.features import FeatureSpec

# what timm raises for a model or an index that it does not support; it depends on the family
REFUSALS = (RuntimeError, AssertionError, IndexError, ValueError, TypeError, AttributeError)


def build_timm_backbone(
    *, model: str, out_indices: Sequence[int] | None, pretrained: bool
) -> nn.Module:
    """A timm model reduced to its feature maps, (B, C, H, W) each, finest first.

    The module is timm's own, so its parameters keep their names.

    Raises:
        UserError: no such model, one without feature maps of distinct power-of-two strides, an
            index it does not have, or weights that cannot be obtained.
    """
    if not timm.is_model(model):
        raise UserError(f"timm has no model '{model}'", hint=_near_models(model))
    options: dict[str, Any] = {"features_only": True}
    if out_indices is not None:
        options["out_indices"] = tuple(out_indices)
    try:
        net: Any = timm.create_model(model, **options)
    except REFUSALS as error:
        chosen = f" at out_indices {list(out_indices)}" if out_indices is not None else ""
        raise UserError(
            f"timm gives no feature maps for '{model}'{chosen}: {_first_line(error)}",
            hint="choose other out_indices, or a model that supports "
            "timm.create_model(..., features_only=True)",
        ) from error
    net.out_features = _feature_specs(net, model)
    if pretrained:
        net = _with_weights(net, model, options)
    if getattr(net, "output_fmt", "NCHW") == "NHWC":
        net.register_forward_hook(_put_channels_first)
    return net  # type: ignore[no-any-return]


def _feature_specs(net: Any, model: str) -> tuple[FeatureSpec, ...]:
    channels, strides = net.feature_info.channels(), net.feature_info.reduction()
    levels = [stride.bit_length() - 1 for stride in strides]
    if any(1 << level != stride for level, stride in zip(levels, strides, strict=True)):
        raise UserError(
            f"the maps of '{model}' have strides {strides}, not all powers of two",
            hint="choose another model, or maps with out_indices",
        )
    if len(set(levels)) < len(levels):
        raise UserError(
            f"the maps of '{model}' have strides {strides}, which are not distinct",
            hint="choose one map per stride with out_indices, or another model",
        )
    return tuple(
        FeatureSpec(f"c{level}", width, stride)
        for level, width, stride in zip(levels, channels, strides, strict=True)
    )


def _with_weights(net: Any, model: str, options: dict[str, Any]) -> Any:
    # built a second time: timm adapts a checkpoint before it reduces the model
    try:
        loaded: Any = timm.create_model(model, pretrained=True, **options)
    except Exception as error:  # hub, network and file errors share no base class
        raise UserError(
            f"the pretrained weights of '{model}' cannot be obtained: {_first_line(error)}",
            hint="check the network, or leave 'pretrained' out",
        ) from error
    loaded.out_features = net.out_features
    return loaded


def _put_channels_first(_: nn.Module, __: Any, maps: Sequence[Tensor]) -> list[Tensor]:
    return [m.permute(0, 3, 1, 2) for m in maps]


def _near_models(model: str) -> str:
    near = get_close_matches(model.partition(".")[0], timm.list_models(), n=3)
    guess = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
    return f"{guess}timm.list_models() names all of them"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
