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


def test_text_stands_out_from_every_colour() -> None:
    for label, colour in enumerate(COLOURS):
        drawn = np.asarray(draw_detections(blank(), [one((100, 100, 200, 200), label)]))
        label_box = drawn[80:99, 100:190].reshape(-1, 3).astype(int)
        ground = np.array(ImageColor.getrgb(colour))
        assert np.abs(label_box - ground).sum(1).max() > 250
