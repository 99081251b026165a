"""What a valid annotation file probably means otherwise than it says, at the edges of each rule."""

import numpy as np
import pytest

from harness.data.suspicions import placeholder_areas, suspicions

GOOD = [[1, 2, 9, 8], [20, 2, 7, 8]]


def said(
    boxes: list[list[float]],
    areas: list[float] | None = None,
    owners: list[int] | None = None,
    kinds: list[int] | None = None,
    images: int = 1,
) -> str:
    """Of boxes (xywh) in images of 80x60, whose areas are those of the boxes."""
    table = np.array(boxes, np.float64).reshape(-1, 4)
    count = len(table)
    return "\n".join(
        one.line
        for one in suspicions(
            table,
            np.tile([80.0, 60.0], (count, 1)),
            np.array(owners or [0] * count, np.int64),
            np.array(kinds or [0] * count, np.int64),
            np.array(areas or table[:, 2] * table[:, 3], np.float64),
            images,
        )
    )


def test_nothing_is_said_of_good_boxes_and_of_none() -> None:
    assert said(GOOD) == ""
    assert said([]) == ""


@pytest.mark.parametrize(
    ("boxes", "areas", "expected"),
    [
        pytest.param([[0, 0, 10, 10], [0, 0, 20, 10]], [1, 1], True, id="of several sizes"),
        pytest.param([[0, 0, 10, 10], [5, 5, 10, 10]], [1, 1], True, id="1 of equal large boxes"),
        pytest.param([[0, 0, 10, 10], [5, 5, 10, 10]], [70, 70], False, id="masks of equal boxes"),
        pytest.param([[0, 0, 1, 1], [5, 5, 1, 1]], [1, 1], False, id="boxes of a pixel"),
        pytest.param([[0, 0, 10, 10], [0, 0, 20, 10]], [90, 91], False, id="areas of their own"),
        pytest.param([[0, 0, 10, 10]], [1], False, id="one box"),
    ],
)
def test_placeholders(boxes: list[list[float]], areas: list[float], expected: bool) -> None:
    assert placeholder_areas(np.array(boxes, np.float64), np.array(areas, np.float64)) is expected


CORNERS = [[40, 30, 70, 50], [50, 10, 79, 40]]


def test_corners() -> None:
    assert "all 2 boxes can be corners x1, y1, x2, y2, and 2 reach out" in said(CORNERS)
    # one that cannot be corners, as its second pair is not behind the first
    assert "corners" not in said([*CORNERS, [50, 30, 20, 20]])
    # boxes that all lie within their image are what they say
    assert "corners" not in said([[1, 2, 9, 8], [3, 4, 7, 8]])


def test_fractions() -> None:
    fractions = [[0.5, 0.5, 0.1, 0.2], [0.0, 0.0, 1.0, 1.0]]
    assert "all 2 boxes lie between 0 and 1" in said(fractions)
    assert "between 0 and 1" not in said([*fractions, [0.5, 0.5, 1.5, 1.0]])
    assert "between 0 and 1" not in said([[0, 0, 0, 0], [1, 1, 0, 0]])


def test_areas_larger_than_their_box() -> None:
    assert "1 annotations have an area larger than their box" in said(GOOD, [72, 80])
    assert said(GOOD, [20, 56]) == ""  # masks
    assert said(GOOD, [72.9, 56.4]) == ""  # rounding


def test_boxes_that_occur_more_than_once() -> None:
    twice = [*GOOD, GOOD[0], GOOD[0]]
    assert said(twice).startswith("2 boxes occur more than once")
    assert said(twice[:3], owners=[0, 0, 1], images=2) == ""
    assert said(twice[:3], kinds=[0, 0, 1]) == ""


def test_crowded_images() -> None:
    many = [[1, 2, 9 + n / 10, 8] for n in range(101)]
    assert "1 image holds more than 100 objects (up to 101)" in said(many)
    assert said(many[:100]) == ""


def test_background() -> None:
    assert "1 of 2 images hold no box" in said(GOOD, images=2)
    assert said(GOOD, owners=[0, 1], images=3) == ""
