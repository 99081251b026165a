"""The five classes: outline, colour and texture of one object.

An outline is a signed distance in pixels, negative inside, in the object's own coordinates, so
that edges are antialiased and nothing depends on a drawing library's version.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]
Distance = Callable[[Plane, Plane, float], Plane]


@dataclass(frozen=True)
class Shape:
    """A class.

    Attributes:
        name: of the class.
        distance: (x, y, radius) -> signed distance; `radius` is half the shape's extent.
        fill: share of the square of side 2 * radius that the shape covers.
        hue: of its colours, in turns.
        pattern: (x, y, radius) -> brightness in about -1..1, the class's texture.
    """

    name: str
    distance: Distance
    fill: float
    hue: float
    pattern: Distance


def _disc(x: Plane, y: Plane, radius: float) -> Plane:
    return np.hypot(x, y) - radius


def _square(x: Plane, y: Plane, radius: float) -> Plane:
    return np.maximum(abs(x), abs(y)) - radius


def _triangle(x: Plane, y: Plane, radius: float) -> Plane:
    side: Plane = abs(x) * np.sqrt(0.8) + (-y - radius) * np.sqrt(0.2)
    return np.maximum(side, y - radius)


def _ring(x: Plane, y: Plane, radius: float) -> Plane:
    distance: Plane = abs(np.hypot(x, y) - 0.72 * radius) - 0.28 * radius
    return distance


def _cross(x: Plane, y: Plane, radius: float) -> Plane:
    x, y = abs(x), abs(y)
    arm = 0.32 * radius
    flat, upright = np.maximum(x - radius, y - arm), np.maximum(y - radius, x - arm)
    return np.minimum(flat, upright)


def _shading(x: Plane, y: Plane, radius: float) -> Plane:
    return -(x + y) / (1.4 * radius)


def _stripes(x: Plane, y: Plane, radius: float) -> Plane:
    return np.sin(x * (7.0 / radius))


def _bands(x: Plane, y: Plane, radius: float) -> Plane:
    return np.sin(y * (6.0 / radius))


def _spokes(x: Plane, y: Plane, radius: float) -> Plane:
    return np.sin(8.0 * np.arctan2(y, x))


def _checks(x: Plane, y: Plane, radius: float) -> Plane:
    return np.sin(x * (8.0 / radius)) * np.sin(y * (8.0 / radius))


SHAPES = (
    Shape("disc", _disc, np.pi / 4, 0.0, _shading),
    Shape("square", _square, 1.0, 0.60, _stripes),
    Shape("triangle", _triangle, 0.5, 0.14, _bands),
    Shape("ring", _ring, np.pi / 4 * (1 - 0.44**2), 0.36, _spokes),
    Shape("cross", _cross, 0.32 * 2 - 0.32**2, 0.83, _checks),
)


@dataclass(frozen=True)
class Stamp:
    """An object ready for a scene: colour (h, w, 3) in 0..255, opacity (h, w) in 0..1."""

    colour: Plane
    alpha: Plane


def draw_shape(shape: Shape, area: float, rng: np.random.Generator) -> Stamp:
    """An object of a class with about `area` pixels, at a random angle, colour and contrast."""
    radius = float(np.sqrt(area / shape.fill)) / 2
    reach = int(np.ceil(radius * np.sqrt(2))) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] + rng.random(2)[:, None, None] - 0.5
    angle = (rng.random() - 0.5) * 0.8
    x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    alpha = np.clip(0.5 - shape.distance(x, y, radius), 0.0, 1.0)
    hue = shape.hue + (rng.random() - 0.5) * 0.08
    base = hue_to_rgb(hue, 0.65 + 0.35 * rng.random(), 150 + 90 * rng.random())
    texture = 1.0 + (0.1 + 0.25 * rng.random()) * shape.pattern(x, y, radius)
    grain = 12.0 * (rng.random((*x.shape, 1)) - 0.5)
    return Stamp(np.clip(base * texture[..., None] + grain, 0, 255), alpha)


def hue_to_rgb(hue: float, saturation: float, value: float) -> Plane:
    """HSV (hue in turns, value in 0..255) -> (3,) RGB."""
    k = (np.array([5.0, 3.0, 1.0]) + 6.0 * hue) % 6.0
    return value * (1.0 - saturation * np.clip(np.minimum(k, 4.0 - k), 0.0, 1.0))
