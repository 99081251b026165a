"""Inputs and comparisons that the tests of the ops share."""

import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from harness.ops import pack_separable
from harness.ops.psroi_reference import accumulate_dtype

DATA = Path(__file__).parents[1] / "data"


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
    folders = [DATA, *map(Path, filter(None, [os.environ.get("HARNESS_REFERENCE_DATA")]))]
    empty = [folder for folder in folders if not any(folder.glob("psroi_align_seed*.npz"))]
    assert not empty, f"no psroi_align_seed*.npz in {empty}"
    found = {path.name: path for folder in folders for path in folder.glob("psroi_align_seed*.npz")}
    return [found[name] for name in sorted(found)]


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
