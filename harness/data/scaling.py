"""The size and scale of an image at a network's input, without torch."""

from collections.abc import Mapping
from typing import Any

Scale = tuple[float, float]  # (y, x): network pixels per image pixel


def network_size(resize: Mapping[str, Any], height: int, width: int) -> tuple[int, int]:
    """(height, width) of an image of this size after the described resize.

    Args:
        resize: of `Resize.describe`.

    Raises:
        ValueError: an unknown kind of resize.
    """
    if resize["kind"] == "squash":
        return resize["height"], resize["width"]
    if resize["kind"] == "letterbox":
        factor = _letterbox_scale(resize, height, width)
        return max(1, int(height * factor)), max(1, int(width * factor))
    if resize["kind"] == "shortest_side":
        factor = min(resize["side"] / min(height, width), resize["longest"] / max(height, width))
        return max(1, int(height * factor)), max(1, int(width * factor))
    raise ValueError(f"unknown resize {resize['kind']!r}")


def network_scale(resize: Mapping[str, Any], height: int, width: int) -> Scale:
    """Scale of the described resize for an image of this size; see `network_size`."""
    if resize["kind"] == "letterbox":  # sides are cut to whole pixels, boxes are not
        return (_letterbox_scale(resize, height, width),) * 2
    size = network_size(resize, height, width)
    return size[0] / height, size[1] / width


def input_size(resize: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width) of the network's input; where it varies, the square of the shortest side."""
    if resize["kind"] == "shortest_side":
        return resize["side"], resize["side"]
    return resize["height"], resize["width"]


def describe_input(resize: Mapping[str, Any]) -> str:
    """The described resize in words.

    "320x320", "416x416 letterboxed" or "shortest side 320, longest at most 640".
    """
    if resize["kind"] == "squash":
        return f"{resize['height']}x{resize['width']}"
    if resize["kind"] == "letterbox":
        return f"{resize['height']}x{resize['width']} letterboxed"
    return f"shortest side {resize['side']}, longest at most {resize['longest']}"


def _letterbox_scale(resize: Mapping[str, Any], height: int, width: int) -> float:
    scale: float = min(resize["height"] / height, resize["width"] / width)
    return scale
