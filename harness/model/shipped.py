"""The architectures that come with the harness, declared as anybody's."""

from collections.abc import Sequence

from harness.plugin.declarations import Architecture, NoParams
from harness.plugin.hookspecs import hookimpl


@hookimpl
def harness_architectures() -> Sequence[Architecture]:
    return [
        Architecture(
            "two_stage",
            "harness.model.two_stage:assemble_two_stage",
            NoParams,
            "Regions are proposed, pooled and classified",
            ("backbone", "neck", "rpn", "roi_op", "box_head"),
        ),
        Architecture(
            "one_stage",
            "harness.model.one_stage:assemble_one_stage",
            NoParams,
            "A dense head predicts at every cell of the maps",
            ("backbone", "neck", "dense_head"),
        ),
    ]
