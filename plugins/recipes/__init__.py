"""What detectors are trained by: optimisers, schedules, augmentations."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from harness.plugin import Augmentation, NoParams, Optimizer, Params, Schedule, Span, hookimpl

_HERE = "harness_plugins.recipes"
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Spared = tuple[Literal["norm", "bias"], ...]


class OptimizerParams(Params):
    """The rate, and which weights decay.

    Attributes:
        lr: the schedule's base.
        no_decay: weights without weight decay: `norm` those of normalisations, `bias` all biases;
            true for both. Without, all weights decay, as in the papers of TinyDet and NanoDet-Plus.
    """

    lr: Positive = 0.02
    weight_decay: NotNegative = 1e-5
    no_decay: Spared = ()

    @field_validator("no_decay", mode="before")
    @classmethod
    def _by_a_word(cls, value: Any) -> Any:
        return {True: ("norm", "bias"), False: ()}[value] if isinstance(value, bool) else value


class SgdParams(OptimizerParams):
    """The rate, momentum, and which weights decay.

    Attributes:
        lr, no_decay: as those of adamw.
        nesterov: the gradient is taken as if the momentum had already been applied.
    """

    momentum: Fraction = 0.9
    nesterov: bool = False

    @model_validator(mode="after")
    def _with_momentum(self) -> "SgdParams":
        if self.nesterov and not self.momentum:
            raise ValueError("'nesterov' needs a momentum")
        return self


class TimmParams(OptimizerParams):
    """One of timm's.

    Attributes:
        opt: name that `timm.optim.list_optimizers()` knows.
        momentum: of those that have one.
        options: further keyword arguments of the optimiser.
    """

    opt: str
    momentum: Fraction = 0.9
    options: Annotated[dict[str, Any], Field(default_factory=dict)]


class WarmUpParams(Params):
    """Warm-up: the rate rises from `warmup_factor` of itself over `warmup_steps`.

    Attributes:
        warmup: along a line or a parabola.
        warmup_steps: steps, a share of the training below 1, or "N epochs".
    """

    warmup: Literal["linear", "quadratic"] = "linear"
    warmup_steps: Span = 500
    warmup_factor: Fraction = 1 / 3


class CosineParams(WarmUpParams):
    """Half a cosine from the optimiser's `lr` to `final_lr`, and a warm-up.

    Attributes:
        final_factor: the final rate as a share of `lr`, in place of `final_lr`.
        final_steps: at the end, at the final rate (steps, a share, or "N epochs").
        after_warmup: the cosine begins when the warm-up ends, not below it.
    """

    final_lr: NotNegative = 0.0
    final_factor: Fraction | None = None
    final_steps: Span = 0
    after_warmup: bool = False

    @model_validator(mode="after")
    def _one_end(self) -> "CosineParams":
        if self.final_factor is not None and self.final_lr:
            raise ValueError("give 'final_lr' or 'final_factor', not both")
        return self


class MultiStepParams(WarmUpParams):
    """The rate is multiplied by `gamma` at each milestone; and a warm-up.

    Attributes:
        milestones: steps, shares of the training below 1, or "N epochs".
    """

    milestones: Annotated[tuple[Span, ...], Field(min_length=1)] = (8 / 12, 11 / 12)
    gamma: Positive = 0.1


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("should be [least, most]")
    return value


Range = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]
Grey = Annotated[int, Field(ge=0, le=255)]


class HsvParams(Params):
    """Added to hue (0..180), saturation and value (0..255), each half the time, up to so much."""

    hue: NotNegative = 5
    saturation: NotNegative = 30
    value: NotNegative = 30


class PhotometricParams(Params):
    """Each half the time.

    Attributes:
        shift: grey levels added, up to.
        contrast: factor on all channels.
        saturation: factor in HSV.
        hue: degrees, up to.
    """

    shift: NotNegative = 32
    contrast: Range = (0.5, 1.5)
    saturation: Range = (0.5, 1.5)
    hue: NotNegative = 18


class MultiScaleParams(Params):
    """The image grows or shrinks on a canvas of its own size, at a random place.

    Attributes:
        fill: grey level around it.
    """

    scale: Range = (0.5, 1.5)
    fill: Grey = 114


class AffineParams(MultiScaleParams):
    """Turned, scaled, sheared about its centre, and moved.

    Attributes:
        degrees: turned by up to.
        translate: moved by up to this share of its sides.
        stretch: a factor for each axis.
        shear: degrees, up to, along each axis.
    """

    degrees: NotNegative = 0
    translate: Fraction = 0.1
    stretch: Range = (1, 1)
    shear: NotNegative = 0


class MosaicParams(Params):
    """Four images around a random point, each fitted into the network's input, then turned, scaled,
    sheared and moved as YOLOX does.

    Attributes:
        probability: of being done.
        degrees, shear: up to.
        translate: by up to this share of the network's input.
    """

    probability: Fraction = 1
    degrees: NotNegative = 10
    translate: Fraction = 0.1
    scale: Range = (0.5, 1.5)
    shear: NotNegative = 2
    fill: Grey = 114


class MixupParams(Params):
    """Another image over this one, boxes of both.

    Attributes:
        probability: of being done.
        weight: of this image.
        scale: of the other, 1 where it just fits.
    """

    probability: Fraction = 1
    weight: Fraction = 0.5
    scale: Range = (0.5, 1.5)
    fill: Grey = 114


@hookimpl
def harness_augmentations() -> Sequence[Augmentation]:
    drawn, warped = "harness.data.augment", f"{_HERE}.warping"
    ssd = "SSD's and TinyDet's: photometric distortion, expansion, IoU crop, flip"
    return [
        Augmentation("none", f"{drawn}:none", NoParams, "photos as they are"),
        Augmentation("flip", f"{drawn}:flip", NoParams, "horizontally, half the time"),
        Augmentation("paper", f"{drawn}:paper", NoParams, ssd, takes=("mean",)),
        Augmentation("hsv", f"{_HERE}.colours:hsv", HsvParams, "YOLOX's jitter of colours"),
        Augmentation(
            "photometric", f"{_HERE}.colours:photometric", PhotometricParams,
            "brightness, contrast, saturation, hue",
        ),
        Augmentation("multi_scale", f"{warped}:multi_scale", MultiScaleParams, "zooms in and out"),
        Augmentation("random_affine", f"{warped}:random_affine", AffineParams, "an affine map"),
        Augmentation(
            "mosaic", f"{_HERE}.mixing:mosaic", MosaicParams, "four images in one, warped",
            images=4, takes=("image_size",),
        ),
        Augmentation(
            "mixup", f"{_HERE}.mixing:mixup", MixupParams, "another image over it", images=2
        ),
    ]  # fmt: skip


@hookimpl
def harness_optimizers() -> Sequence[Optimizer]:
    at = f"{_HERE}.optimizers"
    return [
        Optimizer("sgd", f"{at}:sgd", SgdParams, "SGD with momentum", capturable=True),
        Optimizer("adamw", f"{at}:adamw", OptimizerParams, "AdamW", capturable=True),
        Optimizer("timm", f"{at}:from_timm", TimmParams, "an optimiser of timm, by its name"),
    ]


@hookimpl
def harness_schedules() -> Sequence[Schedule]:
    at = f"{_HERE}.schedules"
    return [
        Schedule("cosine", f"{at}:cosine", CosineParams, "half a cosine after a warm-up"),
        Schedule("multi_step", f"{at}:multi_step", MultiStepParams, "a factor at each milestone"),
        Schedule("constant", f"{at}:constant", WarmUpParams, "one rate after a warm-up"),
    ]
