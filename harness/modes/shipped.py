"""The modes that torch itself has, declared as anybody's."""

from collections.abc import Sequence

from harness.plugin.declarations import Mode
from harness.plugin.hookspecs import hookimpl

MODULE = "harness.modes.by_torch:"


@hookimpl
def harness_modes() -> Sequence[Mode]:
    compiling = "compiling"
    return [
        Mode("eager", MODULE + "eager", summary="operator by operator, as PyTorch runs it"),
        Mode("fused", MODULE + "fused", summary="batch norms folded, parts fused, channels last"),
        Mode(
            "compiled",
            MODULE + "compiled",
            summary="what `fused` makes, through torch.compile",
            preparing=compiling,
        ),
        Mode(
            "cuda_graph",
            MODULE + "cuda_graph",
            summary="what `compiled` makes, captured once and replayed; NVIDIA GPUs",
            preparing=compiling,
        ),
    ]
