"""Inputs and comparisons that the tests of the ops share."""

import math
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from reference_data import reference_files
from torch import Tensor, nn

from harness.ops import library, pack_separable, pack_weights
from harness.ops.psroi_reference import accumulate_dtype

DATA = Path(__file__).parents[1] / "data"
ON_GPU = (
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
)
DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_GPU)])
SEEDS = st.integers(0, 2**32)
COORDINATES = st.one_of(
    st.floats(-60, 120, width=32),
    st.sampled_from([0.0, -1.0, 8.0, 16.0, 32.0, 1e6, -1e6, 3e38, -3e38]),
    st.sampled_from([math.inf, -math.inf, math.nan]),
)
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": Tensor.contiguous,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "strided": lambda x: x.repeat_interleave(2, 3)[..., ::2],
}


def assert_equal(found: Iterable[Tensor], wanted: Iterable[Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)


def with_threads(run: Callable[[], Any]) -> list[Any]:
    """Results of `run` on one, two and three threads."""
    results, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(run())
    finally:
        torch.set_num_threads(threads)
    return results


def resampling_case(
    seed: int, images: int = 9, detections: int = 60, resamples: int = 21
) -> tuple[Tensor, ...]:
    """Arguments of `resampled_ap`: half of the detections may match, most are of a fitting area."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, (resamples, images)).astype(np.int32)
    packed = pack_weights(torch.from_numpy(weights))
    image = rng.integers(0, images, detections)
    inside, some = rng.random(detections) < 0.8, rng.random(detections) < 0.5
    hit = rng.random((3, some.sum())) < 0.5
    ignored = ~hit & (rng.random(hit.shape) < 0.3)
    change = (hit & ~inside[some]).astype(np.int8) - (ignored & inside[some])
    width = int(weights.max(initial=0)) * detections + 1
    points = rng.integers(0, 3, (2, width)).cumsum(1).clip(0, 101).astype(np.int8)
    row = rng.integers(0, 2, len(packed) * 16) * width
    below = np.cumsum(inside)[some]
    arrays = points.ravel(), row, image[inside], image[some], below, hit, change
    return packed, *map(torch.from_numpy, arrays)


def copy_ops(package: Path) -> None:
    """The Python of the ops, without the libraries, as `ops` of a package that has nothing else."""
    ignore = shutil.ignore_patterns("_C*", "_build.json", "__pycache__")
    shutil.copytree(library.FOLDER, package / "ops", ignore=ignore)
    (package / "__init__.py").touch()


@dataclass(frozen=True)
class Golden:
    """One case of a `psroi_align_seed<n>.npz`."""

    features: Tensor
    rois: Tensor
    group: int
    output_channels: int
    sampling_ratio: int
    spatial_scale: float
    output: Tensor
    output_grad: Tensor
    grad_index: Tensor
    grad_value: Tensor
    grad_abs_sum: float


def golden_files() -> list[Path]:
    """Those in tests/data and in the folder that HARNESS_REFERENCE_DATA names, each seed once."""
    return reference_files("psroi_align_seed*.npz")


def golden_keys() -> list[tuple[Path, str]]:
    cases = []
    for path in golden_files():
        with np.load(path) as arrays:
            keys = {name.partition(".")[0] for name in arrays.files}
        cases += [(path, key) for key in sorted(keys, key=int)]
    return cases


def load_golden(path: Path, key: str) -> Golden:
    seed = int(path.stem.removeprefix("psroi_align_seed"))
    with np.load(path) as arrays:
        case = {
            name.removeprefix(f"{key}."): arrays[name]
            for name in arrays.files
            if name.startswith(f"{key}.")
        }
    *shape, group, output_channels, sampling_ratio, scale = case["config"].tolist()
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:op{key}".encode())))
    features = rng.standard_normal([int(n) for n in shape]).astype(np.float32)
    return Golden(
        features=torch.from_numpy(features),
        rois=torch.from_numpy(case["rois"]),
        group=int(group),
        output_channels=int(output_channels),
        sampling_ratio=int(sampling_ratio),
        spatial_scale=float(scale),
        output=torch.from_numpy(case["output"]),
        output_grad=torch.from_numpy(case["output_grad"]),
        grad_index=torch.from_numpy(case["grad_index"]),
        grad_value=torch.from_numpy(case["grad_value"]),
        grad_abs_sum=float(case["grad_abs_sum"]),
    )


def random_features(
    seed: int, shape: tuple[int, int, int, int], dtype: torch.dtype = torch.float32
) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def random_rois(
    seed: int, count: int, batch: int, side: float, dtype: torch.dtype = torch.float32
) -> Tensor:
    """RoIs in, across and beyond an image of `side` pixels, some of them inverted."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand((count, 4), generator=generator, dtype=dtype) * side * 1.6 - side * 0.3
    images = torch.randint(batch, (count, 1), generator=generator).to(dtype)
    return torch.cat([images, corners], 1)


def random_boxes(seed: int, groups: int, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand((groups, size, 4), generator=generator, dtype=dtype)
    low, sides = corners[..., :2] * 60, corners[..., 2:] * 40 + 1
    return torch.cat([low, low + sides], -1)


def grid_boxes(generator: torch.Generator, groups: int, size: int, grid: int) -> Tensor:
    """Many equal IoUs, equal boxes and boxes in each other."""
    low = torch.randint(grid, (groups, size, 2), generator=generator)
    sides = torch.randint(1, 6, (groups, size, 2), generator=generator)
    return torch.cat([low, low + sides], 2).float()


def draw_pyramid(draw: Callable[[Any], Any], layout: str) -> tuple[list[Tensor], Tensor, Any]:
    """Maps, boxes and the other arguments of `psroi_align_multilevel`'s op."""
    height, width, channels = (draw(st.integers(1, n)) for n in (3, 7, 2))
    batch, levels, count = (draw(st.integers(a, b)) for a, b in ((1, 2), (1, 5), (0, 4)))
    maps = []
    for _ in range(levels):
        size = (batch, channels * height * width, draw(st.integers(1, 9)), draw(st.integers(1, 9)))
        maps.append(LAYOUTS[layout](random_features(draw(st.integers(0, 99)), size)))
    rows = [[draw(COORDINATES) for _ in range(4)] for _ in range(batch * count)]
    boxes = torch.tensor(rows, dtype=torch.float32).view(batch, count, 4)
    rule = (
        [4 * 2**level for level in range(levels)],
        draw(st.sampled_from([4.0, 8.0, 22.4])),
        draw(st.booleans()),
        *(height, width, channels),
        draw(st.sampled_from([-1, 0, 1, 2, 2, 3])),
        draw(st.sampled_from(["max", "mean"])),
    )
    return maps, boxes, rule


def draw_anchors(
    draw: Callable[[Any], Any], rows: int = 9, dtypes: Sequence[torch.dtype] = (torch.float32,)
) -> tuple[Any, ...]:
    """Arguments of `select_anchors`' op; maps have up to so many rows."""
    generator = torch.Generator().manual_seed(draw(SEEDS))
    images, levels, per_cell = (draw(st.integers(1, 3)) for _ in range(3))
    dtype = draw(st.sampled_from(dtypes))
    layouts = st.sampled_from([torch.contiguous_format, torch.channels_last])
    logits, deltas = [], []
    for _ in range(levels):
        size = (draw(st.integers(1, rows)), draw(st.integers(1, 9)))
        scores = draw_scores(generator, (images, per_cell, *size), draw(st.integers(0, 2)))
        logits.append(scores.to(dtype, memory_format=draw(layouts)))
        shifts = torch.randn((images, 4 * per_cell, *size), generator=generator)
        deltas.append(shifts.to(dtype, memory_format=draw(layouts)))
    anchors = random_boxes(0, 1, sum(x[0].numel() for x in logits))[0]
    limit = draw(st.one_of(st.integers(0, 10), st.sampled_from([32, 64, 100, 1000])))
    return logits, deltas, anchors, limit, 1.5, 40, 50, draw(st.sampled_from([0.0, 1.0]))


def draw_kept(
    draw: Callable[[Any], Any], generator: torch.Generator, images: int, groups: int, size: int
) -> tuple[Tensor | None, Tensor | None]:
    """What NMS left of each group, or nothing: all are candidates."""
    if draw(st.booleans()):
        return None, None
    order = torch.rand((images, groups, size), generator=generator).argsort(2)
    kept = order[..., : draw(st.integers(1, size))].contiguous()
    return kept, torch.randint(kept.shape[2] + 1, (images, groups), generator=generator)


def draw_scores(generator: torch.Generator, shape: tuple[int, ...], values: int) -> Tensor:
    """Few values, so that many are equal, or all different; some are NaN or infinite."""
    scores = torch.randn(shape, generator=generator) * 3
    scores = (scores * values).round() / values if values else scores
    odd = torch.tensor([math.nan, math.inf, -math.inf, -math.nan, 0.0, -0.0])
    chosen = torch.rand(shape, generator=generator) < 0.1
    return torch.where(chosen, odd[torch.randint(6, shape, generator=generator)], scores)


def separable_case(
    seed: int,
    channels: int,
    groups: Sequence[int],
    sizes: Sequence[tuple[int, int]],
    batch: int = 2,
    dtype: torch.dtype = torch.float32,
) -> tuple[list[Tensor], ...]:
    """Maps, channels side by side, and the weights of each as `separable_conv`'s op takes them."""
    generator = torch.Generator().manual_seed(seed)
    wide = accumulate_dtype(dtype)
    maps, columns = [], []
    for count, size in zip(groups, sizes, strict=True):
        x = torch.randn((batch, *size, channels), generator=generator, dtype=wide)
        maps.append(x.to(dtype).permute(0, 3, 1, 2))
        layers = (
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, dtype=wide),
            nn.Conv2d(channels, channels, 1, groups=count, dtype=wide),
        )
        for parameter in nn.ModuleList(layers).parameters():
            parameter.data.normal_(generator=generator)
        columns.append(list(vars(pack_separable(*layers)).values()))
    return maps, *(list(column) for column in zip(*columns, strict=True))


def random_image(seed: int, height: int, width: int) -> Tensor:
    """(3, height, width) uint8 noise, interleaved as decoders leave photos."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (height, width, 3), generator=generator, dtype=torch.uint8)
    return pixels.permute(2, 0, 1)
