"""RetinaNet's dense head: anchors, focal loss (arXiv 1708.02002)."""

from harness.plugin.declarations import DenseHead, Recipe
from harness.plugin.hookspecs import hookimpl
from harness_plugins.retina.params import RetinaHeadParams

_HERE = "harness_plugins.retina"


@hookimpl
def harness_dense_heads() -> list[DenseHead]:
    summary = "Anchors of several scales and ratios, focal loss, NMS"
    return [DenseHead("retina_head", f"{_HERE}.head:retina_head", RetinaHeadParams, summary)]


@hookimpl
def harness_recipes() -> list[Recipe]:
    return [
        Recipe(
            "retinanet",
            f"{_HERE}.recipe:published",
            summary="RetinaNet's; from ImageNet weights of the backbone, which are not part of it",
            of=("dense_head", "retina_head"),
            source="arXiv 1708.02002, section 4.1",
        )
    ]
