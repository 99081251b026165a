"""The layouts that come with the harness, declared as anybody's."""

from collections.abc import Sequence

from harness.plugin.declarations import Reader
from harness.plugin.hookspecs import hookimpl


@hookimpl
def harness_readers() -> Sequence[Reader]:
    from harness.data.layouts import COCO_LAYOUTS  # which asks the plugins, this one among them

    return [
        Reader(
            "coco",
            "harness.data.layouts:find_splits",
            summary="COCO files, as COCO, Roboflow, CVAT and Label Studio lay them out",
            title="COCO",
            looked_for="; ".join(places.annotations for places in COCO_LAYOUTS),
        ),
        Reader(
            "yolo",
            "harness.data.yolo:find_splits",
            summary="Ultralytics' YOLO: data.yaml, and a text file of boxes for each image",
            title="YOLO",
            looked_for="data.yaml with train, val and names",
        ),
        Reader(
            "voc",
            "harness.data.voc:find_splits",
            summary="Pascal VOC: an XML file for each image, and lists of the splits",
            title="Pascal VOC",
            looked_for="Annotations/*.xml (here, or in VOCdevkit/VOC2007 and the like) with "
            "ImageSets/Main/*.txt",
        ),
    ]
