"""Any timm model that gives feature maps, as a backbone."""

from typing import Annotated

from pydantic import Field

from harness.plugin.declarations import Backbone, Params
from harness.plugin.hookspecs import hookimpl


class TimmParams(Params):
    """Which timm model.

    Attributes:
        model: timm's name, with or without a pretrained tag ("resnet18.a1_in1k").
        out_indices: which of the model's maps to use, finest first; default: all.
        pretrained: start from timm's published weights, which are downloaded once. Set
            `input.mean` and `input.std` to what those weights were trained with.
    """

    model: Annotated[str, Field(min_length=1)]
    out_indices: tuple[int, ...] | None = Field(default=None, min_length=1)
    pretrained: bool = False


@hookimpl
def harness_backbones() -> list[Backbone]:
    return [
        Backbone(
            name="timm",
            target="harness_plugins.timm_backbones.backbone:build_timm_backbone",
            params=TimmParams,
            summary="any timm model that gives feature maps (features_only)",
        )
    ]
