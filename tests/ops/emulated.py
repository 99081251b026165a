"""The bodies of the CUDA kernels, compiled for emulated threads (emulation/), called by ctypes."""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "emulation"
SUFFIX = {torch.float32: "float", torch.float64: "double"}


def compile_cpp(source: str, target: Path, *flags: str) -> Path:
    """Skips the test where there is no compiler; anything that does not compile is an error."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    # no fused multiply-adds, as nvcc is told and as the CPU kernels are built
    common = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-pthread"]
    subprocess.run([compiler, *common, *flags, FOLDER / source, "-o", target], check=True)
    return target


@functools.cache
def library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "kernels.so"
        return ctypes.CDLL(str(compile_cpp("library.cpp", target, "-O2", "-shared", "-fPIC")))


def call(name: str, dtype: torch.dtype, seed: int, threads: int, *arguments: object) -> None:
    """Fails where some threads wait at a barrier that others never come to."""
    converted: list[object] = [ctypes.c_uint64(seed), ctypes.c_int(threads)]
    for x in arguments:
        if isinstance(x, Tensor):
            assert x.is_contiguous()
            converted.append(ctypes.c_void_p(x.data_ptr()))
        elif isinstance(x, bool):
            converted.append(ctypes.c_bool(x))
        else:
            converted.append(ctypes.c_double(x) if isinstance(x, float) else ctypes.c_int64(x))
    assert getattr(library(), f"{name}_{SUFFIX[dtype]}")(*converted) == 0


def nms(
    boxes: Tensor, valid: Tensor, threshold: float, limit: int, *, threads: int = 128, seed: int = 0
) -> tuple[Tensor, Tensor]:
    groups, size, _ = boxes.shape
    indices = torch.full((groups, limit), -7)
    counts = torch.full((groups,), -7)
    arguments = (boxes, valid, groups, size, float(threshold), limit, indices, counts)
    call("nms", boxes.dtype, seed, threads, *arguments)
    return indices, counts


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    threshold: float,
    min_score: float,
    method: str,
    sigma: float,
    *,
    threads: int = 32,
    seed: int = 0,
) -> Tensor:
    """32 threads: the kernel of a warp a group; more: the one for large groups."""
    groups, size = scores.shape
    output = torch.full_like(scores, -7)
    rule = (float(threshold), float(min_score), float(sigma), method == "gaussian")
    call("soft_nms", boxes.dtype, seed, threads, boxes, scores, groups, size, *rule, output)
    return output
