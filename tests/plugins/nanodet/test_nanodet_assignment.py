"""The batched assignment against one written image by image and object by object."""

import torch
import torch.nn.functional as F
from assignment_trials import (
    Batch,
    assert_as_one_by_one,
    assert_nothing_is_matched,
    assert_padding_takes_no_points,
    draw_batch,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou

from harness.data.batch import Targets
from harness.model.distances import boxes_of, distances_to, grid_points
from harness.model.dynamic_k import UNMATCHED, Assignment
from harness.model.features import FeatureSpec
from harness_plugins.nanodet.assignment import assign

SIDE, CLASSES, LARGEST = 64, 5, 13
POINTS = grid_points([FeatureSpec("p3", 8, 8), FeatureSpec("p4", 8, 16)], (SIDE, SIDE), offset=0.0)


def assign_one(logits: Tensor, boxes: Tensor, truths: Tensor, labels: Tensor) -> dict[int, int]:
    """Point -> ground truth, of one image; as REFERENCE words it."""
    x, y = POINTS[:, 0], POINTS[:, 1]
    inside = [
        p
        for p in range(len(POINTS))
        if any(b[0] < x[p] < b[2] and b[1] < y[p] < b[3] for b in truths)
    ]
    if not inside:
        return {}
    ious = box_iou(boxes[inside], truths)
    costs = torch.empty_like(ious)
    for g, label in enumerate(labels):
        quality = F.one_hot(label, CLASSES) * ious[:, g, None]
        scores = logits[inside]
        entropy = F.binary_cross_entropy_with_logits(scores, quality, reduction="none")
        classes = (entropy * (quality - scores.sigmoid()).abs() ** 2).sum(1)
        costs[:, g] = classes - 3 * (ious[:, g] + 1e-7).log()
    takers: dict[int, list[int]] = {}
    for g in range(len(truths)):
        best = ious[:, g].topk(min(LARGEST, len(inside))).values
        for row in costs[:, g].topk(max(1, int(best.sum())), largest=False).indices.tolist():
            takers.setdefault(row, []).append(g)
    return {
        inside[row]: found[0] if len(found) == 1 else int(costs[row].argmin())
        for row, found in takers.items()
    }


def draw(seed: int, counts: list[int]) -> Batch:
    return draw_batch(POINTS, seed, counts, side=SIDE, classes=CLASSES)


def assign_all(logits: Tensor, boxes: Tensor, targets: Targets) -> Assignment:
    return assign(logits, boxes, POINTS, targets, largest=LARGEST, iou_weight=3.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 7), min_size=1, max_size=4))
def test_equals_the_assignment_of_one_image_at_a_time(seed: int, counts: list[int]) -> None:
    assert_as_one_by_one(draw(seed, counts), assign_all, assign_one)


def test_images_without_boxes_have_no_positives() -> None:
    assert_nothing_is_matched(draw(0, [0, 0]), assign_all)


def test_padding_takes_no_points() -> None:
    assert_padding_takes_no_points(draw(3, [2, 5]), assign_all)


def test_a_box_without_a_point_takes_one_of_another() -> None:
    logits, boxes, _ = draw(1, [2])
    truths = torch.tensor([[[1.0, 1.0, 60.0, 60.0], [17.0, 17.0, 18.0, 18.0]]])
    found = assign_all(logits, boxes, Targets(truths, torch.zeros(1, 2).long(), torch.tensor([2])))
    assert set(found.matched.unique().tolist()) == {UNMATCHED, 0, 1}


def test_points_are_corners_of_cells_and_distances_are_in_strides() -> None:
    assert POINTS[:2].tolist() == [[0, 0, 8], [8, 0, 8]]
    assert POINTS[64:66].tolist() == [[0, 0, 16], [16, 0, 16]]
    distances = torch.rand(2, len(POINTS), 4) * 7
    boxes = boxes_of(POINTS, distances)
    torch.testing.assert_close(distances_to(POINTS, boxes), distances)
    assert boxes[0, 65].tolist() == torch.stack(
        [16 - 16 * distances[0, 65, 0], -16 * distances[0, 65, 1],
         16 + 16 * distances[0, 65, 2], 16 * distances[0, 65, 3]]
    ).tolist()  # fmt: skip
