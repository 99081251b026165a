"""The bodies of the CUDA kernels, built for emulated threads (emulation/) and called by ctypes."""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "emulation"
SUFFIX = {torch.float32: "float", torch.float64: "double", torch.uint8: "byte"}


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
        found = ctypes.CDLL(str(compile_cpp("library.cpp", target, "-O2", "-shared", "-fPIC")))
    found.divide.restype = ctypes.c_uint32
    return found


def call(name: str, dtype: torch.dtype, seed: int, threads: int, *arguments: object) -> None:
    """Fails where some threads wait at a barrier that others never come to."""
    converted: list[object] = [ctypes.c_uint64(seed), ctypes.c_int(threads)]
    for x in arguments:
        if x is None:
            converted.append(ctypes.c_void_p(None))
        elif isinstance(x, Tensor):
            assert x.is_contiguous()
            converted.append(ctypes.c_void_p(x.data_ptr()))
        elif isinstance(x, bool):
            converted.append(ctypes.c_bool(x))
        elif isinstance(x, ctypes.Structure | ctypes.Array):
            converted.append(ctypes.byref(x))
        else:
            converted.append(ctypes.c_double(x) if isinstance(x, float) else ctypes.c_int64(x))
    assert getattr(library(), f"{name}_{SUFFIX[dtype]}")(*converted) == 0


def nms(
    boxes: Tensor, valid: Tensor, threshold: float, limit: int, *, threads: int = 128, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """`valid`: flags or counts."""
    groups, size, _ = boxes.shape
    present = (valid, None) if valid.ndim == 2 else (None, valid)
    indices = torch.full((groups, limit), -7)
    counts = torch.full((groups,), -7)
    arguments = (boxes, *present, groups, size, float(threshold), limit, indices, counts)
    call("nms", boxes.dtype, seed, threads, *arguments)
    return indices, counts


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    counts: Tensor | None,
    score_threshold: float,
    threshold: float,
    min_score: float,
    method: str,
    sigma: float,
    *,
    threads: int = 32,
    seed: int = 0,
) -> Tensor:
    """32 threads: the kernel with one warp per class; more: the one for large classes."""
    output = torch.full(scores.shape, -7, dtype=scores.dtype)
    numbers = (score_threshold, threshold, min_score, sigma)
    rule = (*map(float, numbers), method == "gaussian")
    by_box = scores.transpose(1, 2).contiguous()
    arguments = (boxes, by_box, counts, *scores.shape, *rule, output)
    call("soft_nms", boxes.dtype, seed, threads, *arguments)
    return output


class AnchorSelection(ctypes.Structure):
    """`AnchorSelection` of emulation/select_kernels.h."""

    NUMBERS = ("levels", "images", "limit", "rows", "height", "width", "far", "keeps_keys")
    LISTS = ("sizes", "logit_strides", "delta_strides")
    _fields_ = (
        *((name, ctypes.c_int64) for name in NUMBERS),
        *((name, ctypes.c_double) for name in ("max_log_ratio", "inside")),
        *((name, ctypes.POINTER(ctypes.c_int64)) for name in LISTS),
    )


def select_anchors(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Tensor,
    limit: int,
    max_log_ratio: float,
    height: int,
    width: int,
    inside: float,
    *,
    far: bool = False,
    keeps_keys: bool = True,
    threads: int = 64,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """`far`: the list of the chosen is not in shared memory."""
    images, levels = len(logits[0]), len(logits)
    rows = min(limit, max(x[0].numel() for x in logits))
    lists = (
        [side for x in logits for side in x.shape[1:]],
        [step for x in logits for step in x.stride()],
        [step for x in deltas for step in x.stride()],
    )
    arrays = [(ctypes.c_int64 * len(numbers))(*numbers) for numbers in lists]
    numbers = (levels, images, limit, rows, height, width, far, keeps_keys)
    asked = AnchorSelection(*numbers, max_log_ratio, inside, *arrays)
    boxes, scores = (
        torch.full((images, levels, rows, 4), -7.0),
        torch.full((images, levels, rows), -7.0),
    )
    counts = torch.full((images, levels), -7)
    arguments = (asked, pointers(logits), pointers(deltas), anchors, boxes, scores, counts)
    call("select_anchors", torch.float32, seed, threads, *arguments)
    return boxes, scores, counts


def select_boxes(
    boxes: Tensor,
    scores: Tensor,
    kept: Tensor | None,
    kept_counts: Tensor | None,
    limit: int,
    score_threshold: float,
    *,
    far: bool = False,
    keeps_keys: bool = True,
    threads: int = 64,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`far`: the list of the chosen is not in shared memory."""
    images, groups, size = scores.shape
    found = (
        torch.full((images, limit, 4), -7.0),
        torch.full((images, limit), -7.0),
        torch.full((images, limit), -7),
        torch.full((images,), -7),
    )
    sizes = (images, groups, size, 0 if kept is None else kept.shape[2], limit)
    arguments = (boxes, scores, kept, kept_counts, *sizes, float(score_threshold), far, keeps_keys)
    call("select_boxes", torch.float32, seed, threads, *arguments, *found)
    return found


class Separable(ctypes.Structure):
    """`Separable` of emulation/separable_kernels.h."""

    NUMBERS = ("maps", "images", "channels", "out_channels", "relu")
    LISTS = ("heights", "widths", "strides", "blocks", "block_widths")
    _fields_ = (
        *((name, ctypes.c_int64) for name in NUMBERS),
        *((name, ctypes.POINTER(ctypes.c_int64)) for name in LISTS),
    )


def separable_conv(
    maps: Sequence[Tensor],
    depthwise: Sequence[Tensor],
    depthwise_bias: Sequence[Tensor],
    pointwise: Sequence[Tensor],
    pointwise_bias: Sequence[Tensor],
    out_channels: int,
    relu: bool,
    *,
    large: bool = False,
    threads: int = 64,
    seed: int = 0,
) -> Tensor:
    images, channels = maps[0].shape[:2]
    lists = (
        [x.shape[2] for x in maps],
        [x.shape[3] for x in maps],
        [step for x in maps for step in x.stride()],
        [len(x) for x in pointwise],
        [x.shape[1] for x in pointwise],
    )
    arrays = [(ctypes.c_int64 * len(numbers))(*numbers) for numbers in lists]
    asked = Separable(len(maps), images, channels, out_channels, relu, *arrays)
    weights = zip(maps, depthwise, depthwise_bias, pointwise, pointwise_bias, strict=True)
    cells = sum(x.shape[2] * x.shape[3] for x in maps)
    output = torch.full((images, cells, out_channels), -7, dtype=maps[0].dtype)
    tensors = pointers([x for of_map in weights for x in of_map])
    call("separable", maps[0].dtype, seed, threads, asked, large, tensors, output)
    return output


def resize_bilinear(
    image: Tensor, height: int, width: int, interleaved: bool, *, threads: int = 32, seed: int = 0
) -> Tensor:
    memory = torch.full((height, width, len(image)), 7, dtype=torch.uint8)
    result = memory.permute(2, 0, 1) if interleaved else memory.view(-1, height, width)
    arguments = (image.data_ptr(), *image.shape, *image.stride())
    arguments += (result.data_ptr(), height, width, *result.stride())
    call("resize", image.dtype, seed, threads, *arguments)
    return result


class Pooling(ctypes.Structure):
    """`Pooling` of emulation/psroi_kernels.h."""

    NUMBERS = (
        *("levels", "images", "image_boxes", "output_channels", "pooled_height", "pooled_width"),
        *("sampling_ratio", "inclusive", "mean", "tabled", "by_planes"),
    )
    LISTS = ("sizes", "strides", "memory_strides")
    _fields_ = (
        *((name, ctypes.c_int64) for name in NUMBERS),
        ("finest_scale", ctypes.c_double),
        *((name, ctypes.POINTER(ctypes.c_int64)) for name in LISTS),
    )


def make_pooling(
    maps: Sequence[Tensor],
    boxes: Tensor,
    strides: Sequence[int],
    finest_scale: float,
    inclusive: bool,
    pooled_height: int,
    pooled_width: int,
    output_channels: int,
    sampling_ratio: int,
    reduce: str,
    way: str,
) -> Pooling:
    lists = (
        [side for x in maps for side in x.shape[2:]],
        strides,
        [step for x in maps for step in x.stride()],
    )
    cells = (output_channels, pooled_height, pooled_width)
    flags = (sampling_ratio, inclusive, reduce == "mean", way == "table", way == "planes")
    arrays = [(ctypes.c_int64 * len(numbers))(*numbers) for numbers in lists]
    return Pooling(len(maps), *boxes.shape[:2], *cells, *flags, finest_scale, *arrays)


def pointers(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(x.data_ptr() for x in tensors))


def psroi_align_multilevel(
    maps: Sequence[Tensor],
    boxes: Tensor,
    *rule: object,
    way: str = "table",
    threads: int = 256,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    pooling = make_pooling(maps, boxes, *rule, way=way)  # type: ignore[arg-type]
    size = (boxes.shape[0] * boxes.shape[1], pooling.output_channels)
    size += (pooling.pooled_height, pooling.pooled_width)
    output = torch.full(size, -7, dtype=boxes.dtype)
    argmax = torch.full((0 if pooling.mean else size[0], *size[1:]), -7, dtype=torch.int32)
    arguments = (pooling, pointers(maps), boxes, output, argmax)
    call("psroi", boxes.dtype, seed, threads, *arguments)
    return output, argmax


def psroi_align_multilevel_backward(
    gradients: Sequence[Tensor],
    grad_output: Tensor,
    argmax: Tensor,
    boxes: Tensor,
    *rule: object,
    way: str = "table",
    threads: int = 256,
    seed: int = 0,
) -> None:
    """Adds to `gradients`, one per map, of any memory format; the way `planes` overwrites them."""
    pooling = make_pooling(gradients, boxes, *rule, way=way)  # type: ignore[arg-type]
    arguments = (pooling, pointers(gradients), boxes, grad_output, argmax)
    call("psroi_backward", boxes.dtype, seed, threads, *arguments)
