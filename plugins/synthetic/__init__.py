"""A generated data set, so that a first run needs no network."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from harness.plugin.declarations import Dataset, Params
from harness.plugin.hookspecs import hookimpl

Count = Annotated[int, Field(gt=0, le=100_000)]


class SyntheticParams(Params):
    """What to generate; the same parameters always give the same data.

    Attributes:
        train_images: images to train on.
        val_images: images to evaluate on.
        side: longer side of an image, pixels.
        seed: of all random numbers.
    """

    train_images: Count = 240
    val_images: Count = 60
    side: Annotated[int, Field(ge=224, le=2048)] = 384
    seed: Annotated[int, Field(ge=0)] = 0


@hookimpl
def harness_datasets() -> Sequence[Dataset]:
    return [
        Dataset(
            name="synthetic",
            target="harness_plugins.synthetic.source:SyntheticSource",
            params=SyntheticParams,
            summary="textured scenes of five shapes in COCO's size spread, made once and cached",
        )
    ]
