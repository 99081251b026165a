"""Textured scenes with objects whose sizes are distributed as in COCO."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness_plugins.synthetic.shapes import SHAPES, Plane, Stamp, draw_shape, hue_to_rgb

# share of objects and range of sqrt(mask area) in pixels; COCO has 41 % small, 34 % medium
SIZES = ((0.41, 15.0, 31.0), (0.33, 34.0, 92.0), (0.26, 98.0, 165.0))
ASPECTS = ((1.0, 0.75), (1.0, 0.67), (1.0, 1.0), (0.75, 1.0))
MAX_OVERLAP = 0.1  # of the smaller of two boxes
TRIES = 80


@dataclass(frozen=True)
class Placed:
    """An object in a scene: label, [x, y, width, height] and mask area, in pixels."""

    label: int
    box: tuple[int, int, int, int]
    area: int


@dataclass(frozen=True)
class Scene:
    """Pixels (h, w, 3) uint8 RGB and the objects in them."""

    pixels: NDArray[np.uint8]
    objects: tuple[Placed, ...]


def draw_scene(side: int, rng: np.random.Generator) -> Scene:
    """One scene with a longer side of `side` pixels and 3 to 9 objects."""
    width, height = (round(side * share) for share in ASPECTS[_integer(rng, len(ASPECTS))])
    canvas = _background(height, width, rng)
    for _ in range(4 + _integer(rng, 8)):
        _add_distractor(canvas, rng)
    placed: list[Placed] = []
    # largest first, or they would find no room and small ones would be over-represented
    for area in sorted((_area(rng, side / 384) for _ in range(3 + _integer(rng, 7))), reverse=True):
        label = _integer(rng, len(SHAPES))
        found = _place(canvas, draw_shape(SHAPES[label], area, rng), label, placed, rng)
        placed += [found] if found else []
    return Scene(_expose(canvas, rng), tuple(placed))


def _integer(rng: np.random.Generator, limit: int) -> int:
    return int(rng.random() * limit)


def _area(rng: np.random.Generator, scale: float) -> float:
    """Mask area of an object; the bins are absolute, so only large objects grow with the image."""
    ends = np.cumsum([share for share, _, _ in SIZES])
    _, low, high = SIZES[min(int(np.searchsorted(ends, rng.random())), len(SIZES) - 1)]
    if low > 96:
        high = max(low + 1, high * scale)
    return float(low * (high / low) ** rng.random()) ** 2


def _noise(height: int, width: int, cells: int, rng: np.random.Generator) -> Plane:
    """Smooth noise in 0..1 with about `cells` bumps per side."""
    grid = rng.random((cells + 1, cells + 1))
    return _blend_rows(_blend_rows(grid, height).T, width).T


def _blend_rows(grid: Plane, length: int) -> Plane:
    place = np.linspace(0, len(grid) - 1, length)
    first = np.minimum(place.astype(int), len(grid) - 2)
    share = (place - first)[:, None]
    result: Plane = grid[first] * (1 - share) + grid[first + 1] * share
    return result


def _background(height: int, width: int, rng: np.random.Generator) -> Plane:
    """Two dull colours mixed by noise of several octaves, with fine grain."""
    colours = [
        hue_to_rgb(rng.random(), 0.3 * rng.random(), 60 + 150 * rng.random()) for _ in range(2)
    ]
    octaves = [_noise(height, width, cells, rng) for cells in (2, 6, 20)]
    mix = (0.55 * octaves[0] + 0.3 * octaves[1] + 0.15 * octaves[2])[..., None]
    grain = 16.0 * (rng.random((height, width, 1)) - 0.5)
    mixed: Plane = colours[0] * (1 - mix) + colours[1] * mix + grain
    return mixed


def _add_distractor(canvas: Plane, rng: np.random.Generator) -> None:
    """A dull stroke or blob that belongs to no class."""
    height, width = canvas.shape[:2]
    centre = (_integer(rng, height), _integer(rng, width))
    angle, thin = np.pi * rng.random(), rng.random() < 0.5
    long = (0.1 + 0.25 * rng.random()) * width
    short = 1.0 + 3.0 * rng.random() if thin else long * (0.3 + 0.4 * rng.random())
    reach = int(long) + 2
    top, left = (max(0, c - reach) for c in centre)
    part = canvas[top : centre[0] + reach, left : centre[1] + reach]
    v, u = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    v, u = v - centre[0], u - centre[1]
    u, v = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    distance = (np.hypot(u / long, v / short) - 1.0) * short
    alpha = np.clip(0.5 - distance, 0, 1)[..., None] * (0.3 + 0.5 * rng.random())
    colour = hue_to_rgb(rng.random(), 0.3 * rng.random(), 40 + 180 * rng.random())
    part += alpha * (colour - part)


def _place(
    canvas: Plane, stamp: Stamp, label: int, placed: list[Placed], rng: np.random.Generator
) -> Placed | None:
    """Paste where it hardly overlaps others; None if no such place was found."""
    mask = stamp.alpha >= 0.5
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    colour, alpha = stamp.colour[window], stamp.alpha[window][..., None]
    h, w = alpha.shape[:2]
    room = (canvas.shape[0] - h, canvas.shape[1] - w)
    if min(room) < 0:
        return None
    for _ in range(TRIES):
        y, x = _integer(rng, room[0] + 1), _integer(rng, room[1] + 1)
        if all(_overlap((x, y, w, h), other.box) <= MAX_OVERLAP for other in placed):
            part = canvas[y : y + h, x : x + w]
            part += alpha * (colour - part)
            return Placed(label, (x, y, w, h), int(mask.sum()))
    return None


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Intersection over the area of the smaller box."""
    w = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    h = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(0, w) * max(0, h) / min(one[2] * one[3], other[2] * other[3])


def _expose(canvas: Plane, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light that varies within a scene and between scenes."""
    height, width = canvas.shape[:2]
    light = 0.8 + 0.3 * rng.random() + 0.2 * (_noise(height, width, 2, rng) - 0.5)
    pixels: NDArray[np.uint8] = np.clip(np.rint(canvas * light[..., None]), 0, 255).astype(np.uint8)
    return pixels
