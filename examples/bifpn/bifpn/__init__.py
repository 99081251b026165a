"""BiFPN, the neck of EfficientDet. No torch here: this file is read whenever harness starts."""

from typing import Annotated

from pydantic import Field

import harness
from harness.plugin import Neck, Params


class BiFpnParams(Params):
    """Size of the neck; the defaults are those of EfficientDet-D0.

    Attributes:
        channels: of every map.
        layers: how often maps are fused, down and up again.
    """

    channels: Annotated[int, Field(gt=0)] = 64
    layers: Annotated[int, Field(gt=0)] = 3


@harness.hookimpl
def harness_necks():
    summary = "EfficientDet's: weighted fusion, top-down and bottom-up, several times"
    return [Neck("bifpn", "bifpn.network:BiFpn", BiFpnParams, summary)]
