"""ExecuTorch, with XNNPACK."""

import io
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from harness.errors import CellError
from harness_plugins.runtimes.exported import ExportingRuntime, Session, Written
from harness_plugins.runtimes.tracing import Traced, first_line, quiet

PROVIDER = "XNNPACK"
METHOD = "forward"
WHERE = re.compile(r"^\[[^]]*\] ")  # in its own code a message was written
MISSING = re.compile(r"Missing out variants: \{(.*)\}")
CONVERSIONS = "quantized_decomposed."
NEEDS = ("executorch",)


def open_session(path: Path, precision: str) -> Session:
    """The program's method on the CPU.

    Raises:
        CellError: ExecuTorch does not load it; what its libraries say of it.
    """
    with quiet(), redirect_stderr(io.StringIO()) as messages:  # of threads and processor
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        if portable_lib._threadpool_get_thread_count() != torch.get_num_threads():
            # unsafe only while a method runs
            portable_lib._unsafe_reset_threadpool(torch.get_num_threads())
        before = messages.tell()
        try:
            method = Runtime.get().load_program(path).load_method(METHOD)
        except RuntimeError as error:
            said = messages.getvalue()[before:].splitlines() or [first_line(error)]
            why = WHERE.sub("", said[0])
            raise CellError(f"ExecuTorch cannot open {path.stem}: {why}") from error

    def run(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        found: Sequence[Tensor] = method.execute(tensors)
        return found

    return run


def write(traced: Traced, path: Path, samples: Sequence[Sequence[Tensor]] | None) -> Written:
    """`path`.pte

    Raises:
        CellError: it cannot become a program; why.
    """
    with quiet(), torch.no_grad():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        program, floats = traced.program, Counter[str]()
        try:
            if samples is not None:
                program, floats = quantize(program, samples)
            lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            made = lowered.to_executorch()
        except Exception as error:  # of many classes
            why = _lacking(error) or first_line(error)
            said = f"{traced.name} cannot become an ExecuTorch program: {why}"
            raise CellError(said) from error
    target = path.with_name(f"{path.name}.pte")
    target.write_bytes(made.buffer)
    inputs = range(len(traced.program.graph_signature.user_inputs))
    return Written((target,), tuple(inputs), floats)


def _lacking(error: BaseException) -> str:
    """The operators that ExecuTorch has no kernels for, "" where that is not the reason."""
    found = MISSING.search(str(error))
    names = re.findall(r"'([\w:.]+)'", found[1]) if found else []
    return f"it has no kernel for {', '.join(sorted(names)).replace('::', '.')}" if names else ""


def quantize(
    program: torch.export.ExportedProgram, samples: Sequence[Sequence[Tensor]]
) -> tuple[torch.export.ExportedProgram, Counter[str]]:
    """The program with weights and activations of 8 bits, weights with a scale per channel.

    Static post-training quantisation by torchao, of the operators that XNNPACK has in 8 bits.

    Args:
        samples: what the program takes, for images that activations are scaled by.

    Returns:
        it, and the operators that are left in float.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer()
    quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True))
    module = program.module()
    separate_weights(module)
    observed = prepare_pt2e(module, quantizer)
    for tensors in samples:
        observed(*tensors)
    made = convert_pt2e(observed)
    example = tuple(samples[0])
    return torch.export.export(made, example, strict=False), left_in_float(made.graph)


def separate_weights(module: torch.fx.GraphModule) -> None:
    """Give each operator weights of its own, where one reads what another one has read before.

    Such as a head on the second of several levels. The quantizer would leave it in float, which
    XNNPACK does not take with weights of 8 bits; and a shared bias would be put into the integers
    of the first operator's scale for all of them.
    """
    read = (node for node in module.graph.nodes if node.op == "get_attr")
    for node in list(read):
        for number, user in enumerate(list(node.users)[1:], 1):
            name = f"{node.target.replace('.', '_')}_again_{number}"
            owner, _, attribute = node.target.rpartition(".")
            weights = getattr(module.get_submodule(owner), attribute)
            setattr(module, name, torch.nn.Parameter(weights.clone(), requires_grad=False))
            with module.graph.inserting_before(user):
                own = module.graph.get_attr(name)
                own.meta = dict(node.meta)
            user.replace_input_with(node, own)
    module.recompile()


def left_in_float(graph: torch.fx.Graph) -> Counter[str]:
    """Operators that neither read a tensor of 8 bits nor are fused to one that does, by name."""

    def converts(node: torch.fx.Node) -> bool:
        return str(node.target).startswith(CONVERSIONS)

    def exact(node: torch.fx.Node) -> bool:
        inputs = node.all_input_nodes
        if any(converts(one) for one in inputs):
            return False
        # an activation behind a convolution, before its output comes to 8 bits
        fused = len(inputs) == 1 and all(converts(one) for one in node.users)
        return not (fused and not exact(inputs[0]))

    operators = [n for n in graph.nodes if isinstance(n.target, torch._ops.OpOverload) and n.users]
    return Counter(
        str(node.target).split(".")[1] for node in operators if not converts(node) and exact(node)
    )


executorch, int8 = (
    partial(
        ExportingRuntime, mode, "executorch", "executorch", NEEDS, PROVIDER, open_session, write
    )
    for mode in ("executorch", "executorch-int8")
)
