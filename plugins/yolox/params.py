"""Parameters of YOLOX's parts; the defaults are those of YOLOX-Nano."""

from typing import Annotated, Literal

from pydantic import Field

from harness.plugin.declarations import Params

Count = Annotated[int, Field(gt=0)]
Number = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class CspDarknetParams(Params):
    """Size of the backbone.

    Attributes:
        depth: factor on the blocks of a stage.
        width: factor on channels, of which the stem has 64.
        depthwise: 3x3 convolutions are depthwise, each with a 1x1 after it.
    """

    depth: Number = 0.33
    width: Number = 0.25
    depthwise: bool = True


class YoloxPafpnParams(Params):
    """Size of the neck; `depth` and `depthwise` as in the backbone."""

    depth: Number = 0.33
    depthwise: bool = True


class YoloxHeadParams(Params):
    """Layers, training and final selection of the head.

    Attributes:
        hidden: channels of its convolutions; 64 in Nano, 96 in Tiny.
        depthwise: as in the backbone.
        l1: adds the L1 loss of raw boxes; `last`: in the time of `train.close_augment` alone, which
            is published as the last 15 of 300 epochs.
        min_score: a detection needs at least this.
        nms_iou: a box is dropped where it overlaps a better one of its class by more.
        detections: of an image at most; null: no limit.
    """

    hidden: Count = 64
    depthwise: bool = True
    l1: bool | Literal["last"] = False
    min_score: Fraction = 0.01
    nms_iou: Fraction = 0.65
    detections: Count | None = None
