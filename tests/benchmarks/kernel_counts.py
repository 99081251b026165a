"""Counts the kernels that a detector's graph launches, on a machine without a GPU.

    python tests/benchmarks/kernel_counts.py [DETECTOR ...] [--out counts.csv]

What torch.compile would make of a `fused` detector, from uint8 pixels to detections, is read off
its scheduler before any code is compiled: every loop that it generates, and every call of a kernel
from elsewhere, by name. It is traced on the CPU, whose rules of fusion are close to a GPU's but not
the same, and what a library launches within one call (changes of layout, memsets, the passes of a
sort) is not seen: numbers to compare with those of another commit, not with a profile.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from subjects import build, draw_vga
from torch._dynamo.exc import BackendCompilerFailed
from torch._inductor import config
from torch._inductor.exc import InductorError
from torch._inductor.graph import GraphLowering
from torch._inductor.ir import MultiOutput
from torch._inductor.scheduler import NopKernelSchedulerNode
from torch._inductor.virtualized import V

from harness.data.batch import Inputs
from harness.model.types import Detections
from harness.modes.build import build_runner

LOOPS, SELECTION = "generated loop", ("topk", "sort")
Kernel = tuple[str, str]  # kind and name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detectors", nargs="*", default=["tinydet_s", "tinydet_m"])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    table = pd.DataFrame({name: count_kernels(name) for name in args.detectors})
    table = table.fillna(0).astype(int).rename_axis(["kind", "name"]).sort_index()
    print(table.to_string())
    print(table.groupby("kind").sum().to_string())
    print(table.sum().rename("kernels").to_string())
    if args.out is not None:
        table.to_csv(args.out)


def count_kernels(name: str) -> Counter[Kernel]:
    """How often a detector launches each kernel at batch 1."""
    runner = build_runner(build(name).eval(), "fused")
    detector, inputs = runner.detector, runner.load([draw_vga()])

    def detect(inputs: Inputs) -> Detections:
        ready = detector.prepare(inputs)
        pixels = ready.pixels.contiguous(memory_format=torch.channels_last)
        return detector.forward(replace(ready, pixels=pixels))

    with torch.no_grad(), scheduled() as kernels:
        torch._dynamo.reset()
        run = torch.compile(detect, fullgraph=True, dynamic=False)
        try:
            run(inputs)
        except (BackendCompilerFailed, InductorError):
            if not kernels:  # it failed by itself
                raise
    return Counter(kernels)


@contextmanager
def scheduled() -> Iterator[list[Kernel]]:
    """Fills the list with what is scheduled while something compiles, which then fails."""
    kernels: list[Kernel] = []

    def stop(_: str) -> None:
        kernels.extend(kernel for node in V.graph.scheduler.nodes for kernel in kernels_of(node))
        raise RuntimeError("all that is asked for is known")

    # Freezing would give convolutions to a library of CPUs, with what follows them.
    options = {"freezing": False, "force_disable_caches": True}
    with config.patch(options), patch.object(GraphLowering, "save_output_code", stop):
        yield kernels


def kernels_of(node: Any) -> Iterator[Kernel]:
    if isinstance(node, NopKernelSchedulerNode) or isinstance(node.node, MultiOutput):
        return
    if hasattr(node, "get_outer_nodes"):  # a CPU's loops within a common outer one
        for inner in node.get_outer_nodes():
            yield from kernels_of(inner)
    elif node.is_extern():
        yield called(node.node)
    else:
        yield LOOPS, LOOPS


def called(kernel: Any) -> Kernel:
    """Kind and name of a kernel from elsewhere."""
    name = kernel.python_kernel_name or str(kernel.op_overload)
    name = name.removeprefix("torch.ops.").removeprefix("extern_kernels.").removeprefix("aten.")
    if name.startswith("harness."):
        return "own op", name
    return ("selection" if any(word in name for word in SELECTION) else "library"), name


if __name__ == "__main__":
    main()
