"""Labels that can be read and cover no object."""

import numpy as np
import pytest
from PIL import Image, ImageColor

from harness.run.drawing import COLOURS, Drawn, draw_detections


def blank(width: int = 400, height: int = 300) -> Image.Image:
    return Image.new("RGB", (width, height))


def one(box: tuple[float, float, float, float], label: int = 0, score: float = 0.9) -> Drawn:
    return Drawn(box, label, "thrombocyte", score)


def inside(image: Image.Image, found: Drawn) -> np.ndarray:
    """The pixels within a box, its line left out."""
    x1, y1, x2, y2 = map(int, found.box)
    return np.asarray(image)[y1 + 2 : y2 - 1, x1 + 2 : x2 - 1]


def pixels_of(image: Image.Image, label: int) -> int:
    return int((np.asarray(image) == ImageColor.getrgb(COLOURS[label])).all(-1).sum())


@pytest.mark.parametrize(
    "box",
    [
        (100, 100, 130, 130),
        (0, 0, 30, 30),  # corners leave no room on two sides
        (369, 0, 399, 30),
        (0, 269, 30, 299),
        (369, 269, 399, 299),
        (0, 100, 399, 250),  # as wide as the image
    ],
)
def test_a_label_lies_beside_its_object(box: tuple[float, float, float, float]) -> None:
    found = one(box)
    drawn = draw_detections(blank(), [found])
    assert not inside(drawn, found).any()
    assert pixels_of(drawn, 0) > 500  # the label is there, within the image


def test_labels_avoid_each_other_and_the_neighbours() -> None:
    """Two objects on the same place and one close above, where labels go first."""
    same = (100.0, 100.0, 160.0, 130.0)
    found = [one(same, 0, 0.9), one(same, 4, 0.8), one((100, 60, 160, 95), 2, 0.7)]
    alone = [pixels_of(draw_detections(blank(), [each]), each.label) for each in found]
    drawn = draw_detections(blank(), found)
    for each, most in zip(found, alone, strict=True):
        assert not inside(drawn, each).any()
        assert pixels_of(drawn, each.label) > 0.75 * most  # the line of one box hides another's


def test_where_there_is_no_room_at_all_something_is_drawn() -> None:
    found = one((0, 0, 15, 11))
    drawn = draw_detections(blank(16, 12), [found])
    assert drawn.size == (16, 12)
    assert pixels_of(drawn, 0)
    assert draw_detections(blank(), []).tobytes() == blank().tobytes()


def test_the_surest_has_the_usual_place() -> None:
    same = (100.0, 100.0, 160.0, 130.0)
    for first, second in ((0.9, 0.2), (0.2, 0.9)):
        drawn = draw_detections(blank(), [one(same, 0, first), one(same, 4, second)])
        surest = COLOURS[0 if first > second else 4]
        assert drawn.getpixel((101, 97)) == ImageColor.getrgb(surest)  # above, at the left


def linear(value: float) -> float:
    """A channel of sRGB, 0..255, as intensity, 0..1."""
    x = value / 255
    return x / 12.92 if x <= 0.04045 else float(((x + 0.055) / 1.055) ** 2.4)


def luminance(colour: tuple[int, ...]) -> float:
    return sum(w * linear(c) for w, c in zip((0.2126, 0.7152, 0.0722), colour, strict=True))


@pytest.mark.parametrize("label", range(len(COLOURS)))
def test_text_has_the_contrast_that_wcag_asks_for(label: int) -> None:
    """At least 4.5 to 1 (https://www.w3.org/TR/WCAG22/#contrast-minimum)."""
    drawn = np.asarray(draw_detections(blank(), [one((100, 100, 200, 200), label)]))
    ground = ImageColor.getrgb(COLOURS[label])
    rows = {tuple(pixel) for pixel in drawn[85:97, 103:150].reshape(-1, 3).tolist()}
    shades = [luminance(pixel) for pixel in rows]
    of_ground = luminance(ground)
    best = max((max(each, of_ground) + 0.05) / (min(each, of_ground) + 0.05) for each in shades)
    assert ground in rows
    assert best >= 4.5
