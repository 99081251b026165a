"""How alike two sets of detections are: what counts as the same, and what weighs how much."""

import numpy as np
import pytest
import torch

from harness.model.types import Detections
from harness.stages.agreement import (
    FLOAT32,
    HALF,
    SAME_BOX,
    Found,
    measure_agreement,
    split_images,
)

TOLERANCE = 0.05


def found(*rows: tuple[float, float, float, float, float, int]) -> Found:
    """(x0, y0, x1, y1, score, label) a detection."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return Found(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def agree(one: Found, other: Found) -> float:
    return measure_agreement([one], [other], TOLERANCE)


A = (0, 0, 10, 10, 0.8, 1)
B = (20, 20, 40, 60, 0.4, 0)


def test_the_same_agrees_and_nothing_agrees_with_nothing():
    assert agree(found(A, B), found(A, B)) == 1.0
    assert agree(found(A, B), found(B, A)) == 1.0
    assert agree(found(), found()) == 1.0
    assert measure_agreement([], [], TOLERANCE) == 1.0
    assert agree(found(A), found()) == agree(found(), found(A)) == 0.0


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"label": 0}, False),
        ({"score": 0.8 - TOLERANCE + 1e-6}, True),
        ({"score": 0.8 - TOLERANCE - 1e-6}, False),
        ({"score": 0.8 + TOLERANCE + 1e-6}, False),
        ({"x1": 10 * SAME_BOX + 1e-6}, True),
        ({"x1": 10 * SAME_BOX - 1e-6}, False),
        ({"x0": 50, "x1": 60}, False),
    ],
)
def test_what_counts_as_the_same(change: dict[str, float], same: bool):
    names = ("x0", "y0", "x1", "y1", "score", "label")
    changed = tuple({**dict(zip(names, A, strict=True)), **change}.values())
    assert (agree(found(A), found(changed)) == 1.0) is same  # type: ignore[arg-type]
    assert (agree(found(changed), found(A)) == 1.0) is same  # type: ignore[arg-type]


def test_the_share_is_weighed_by_the_scores_of_both_sides():
    # A has a counterpart (2 x 0.8), B has none
    assert agree(found(A, B), found(A)) == pytest.approx(1.6 / 2.0)
    assert agree(found(A, B), found(B)) == pytest.approx(0.8 / 1.6)


def test_images_weigh_by_what_stands_in_them_and_do_not_mix():
    assert measure_agreement([found(A), found()], [found(), found(A)], TOLERANCE) == 0.0
    apart = measure_agreement([found(A), found(B)], [found(A), found()], TOLERANCE)
    assert apart == pytest.approx(1.6 / 2.0)


def test_a_counterpart_serves_once():
    assert agree(found(A, A), found(A)) == pytest.approx(2 / 3)


def test_the_best_score_chooses_first_and_takes_the_nearest():
    near, nearer = (0, 0, 10, 9.5, 0.8, 1), (0, 0, 10, 9.9, 0.78, 1)
    # were the other order taken, or `near` for A, the last would go without
    low = (0, 0, 10, 9.0, 0.77, 1)
    assert agree(found(low, A), found(nearer, near)) == pytest.approx(1)


def test_boxes_without_area_are_the_same_where_their_corners_are():
    flat = (5, 5, 5, 9, 0.5, 0)
    assert agree(found(flat), found(flat)) == 1.0
    assert agree(found(flat), found((5, 5, 5, 8, 0.5, 0))) == 0.0


def test_padding_is_no_detection():
    batch = Detections(
        boxes=torch.tensor([[[0, 0, 10, 10], [0, 0, 0, 0]], [[1, 1, 2, 2], [3, 3, 9, 9]]]).float(),
        scores=torch.tensor([[0.5, 0.0], [0.75, 0.25]]),
        labels=torch.tensor([[1, 0], [0, 2]]),
        counts=torch.tensor([1, 2]),
    )
    first, second = split_images(batch)
    assert first.boxes.tolist() == [[0, 0, 10, 10]]
    assert (first.scores.tolist(), first.labels.tolist()) == ([0.5], [1])
    assert second.scores.tolist() == [0.75, 0.25]


def test_rounding_is_forgiven_and_a_moved_box_is_not():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 300, (100, 2))
    sides = rng.uniform(8, 60, (100, 2))
    scores = np.sort(rng.uniform(0.05, 1, 100))[::-1]
    one = Found(np.hstack([corners, corners + sides]), scores, rng.integers(0, 5, 100))
    rounded = Found(one.boxes + rng.normal(0, 1e-3, (100, 4)), scores + 1e-4, one.labels)
    assert measure_agreement([one], [rounded], FLOAT32.score) == pytest.approx(1)
    moved = Found(one.boxes + rng.normal(0, 3, (100, 4)), scores, one.labels)
    assert measure_agreement([one], [moved], HALF.score) < HALF.agreement


def test_the_same_agrees_even_where_many_lie_on_one_another():
    rng = np.random.default_rng(0)
    scores, labels = rng.uniform(0, 1, 100), np.zeros(100, np.int64)
    heap = Found(np.tile([0.0, 0, 20, 20], (100, 1)), scores, labels)
    assert measure_agreement([heap], [heap], HALF.score) == pytest.approx(1)
