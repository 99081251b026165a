"""A folder in COCO's, YOLO's or Pascal VOC's layout as a data set."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from harness.plugin.declarations import Dataset, Params
from harness.plugin.hookspecs import hookimpl

Name = Annotated[str, Field(min_length=1)]


class SplitParams(Params):
    """Where a split is, relative to the root.

    Attributes:
        images: the folder that the annotation file's names are relative to.
        annotations: the COCO-format file.
    """

    images: Name
    annotations: Name


class CocoParams(Params):
    """Where the data set is.

    Attributes:
        root: the folder; its layout is recognised, unless a split is named outright:
        train: images and annotations of the training split.
        val: those of the validation split.
    """

    root: Name
    train: SplitParams | None = None
    val: SplitParams | None = None


@hookimpl
def harness_datasets() -> Sequence[Dataset]:
    return [
        Dataset(
            name="coco",
            target="harness.data.folder:CocoFolder",
            params=CocoParams,
            summary="a folder in one of the usual layouts: COCO, YOLO or Pascal VOC",
        )
    ]
