"""The best anchor of an object: known on paper, and the same as looking at every anchor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.results.anchors import AnchorGrid, best_ious, find_best


def lay(stride: int, side: float, cells: int = 8, height: float | None = None) -> np.ndarray:
    """Anchors of one shape at the middle of every cell."""
    centres = (np.arange(cells) + 0.5) * stride
    x, y = (values.ravel() for values in np.meshgrid(centres, centres))
    half_w, half_h = side / 2, (height or side) / 2
    return np.stack([x - half_w, y - half_h, x + half_w, y + half_h], 1)


def brute(boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    low = np.maximum(boxes[:, None, :2], anchors[:, :2])
    high = np.minimum(boxes[:, None, 2:], anchors[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, anchors)]
    return (shared / (areas[0][:, None] + areas[1] - shared)).max(axis=1)


def test_an_object_on_an_anchor_and_one_of_half_its_area():
    anchors = lay(stride=8, side=16)
    boxes = np.array([[4.0, 4, 20, 20], [4, 4, 20, 12], [200, 200, 210, 210]])
    assert best_ious(boxes, anchors).tolist() == [1.0, 0.5, 0.0]


def test_the_best_map_is_the_one_of_the_right_size_and_of_equals_the_finest():
    grids = [AnchorGrid(16, lay(16, 32)), AnchorGrid(8, lay(8, 16))]
    boxes = np.array([[4.0, 4, 20, 20], [8, 8, 40, 40], [500, 500, 510, 510]])
    ious, strides = find_best(boxes, grids)
    assert ious.tolist() == [1.0, 1.0, 0.0]
    assert strides.tolist() == [8, 16, 8]


def test_without_anchors_nothing_is_covered():
    assert best_ious(np.array([[0.0, 0, 5, 5]]), np.zeros((0, 4))).tolist() == [0.0]


SIDES = st.floats(0.5, 90)
CORNERS = st.floats(-20, 90)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(CORNERS, CORNERS, SIDES, SIDES), min_size=1, max_size=8),
    st.lists(st.tuples(st.floats(2, 60), st.floats(2, 60)), min_size=1, max_size=4),
    st.sampled_from([4, 8, 107]),
    st.booleans(),
)
def test_the_best_is_that_of_all_anchors(objects, shapes, stride: int, ragged: bool):
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in objects])
    anchors = np.concatenate([lay(stride, w, 6, h) for w, h in shapes])
    if ragged:  # no grid any more
        anchors = anchors[np.arange(len(anchors)) % 5 != 3]
    # anchors come in float32
    anchors = anchors.astype(np.float32).astype(float)
    assert best_ious(boxes, anchors) == pytest.approx(brute(boxes, anchors), abs=2e-3)


def test_anchors_that_stand_on_a_line_but_on_no_grid():
    anchors = lay(10, 10, 4)[[0, 5, 10, 15]]
    boxes = np.array([[0.0, 10, 10, 20], [10, 10, 20, 20]])
    assert best_ious(boxes, anchors).tolist() == [0.0, 1.0]
