"""Any folder in COCO's layout as a data set."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from harness.plugin.declarations import Dataset, Params
from harness.plugin.hookspecs import hookimpl


class CocoParams(Params):
    """Where the data set is.

    Attributes:
        root: the folder with train/, val/ and annotations/ (or COCO's official names).
    """

    root: Annotated[str, Field(min_length=1)]


@hookimpl
def harness_datasets() -> Sequence[Dataset]:
    return [
        Dataset(
            name="coco",
            target="harness.data.folder:CocoFolder",
            params=CocoParams,
            summary="a folder ROOT/{train,val} + ROOT/annotations/instances_{train,val}.json",
        )
    ]
