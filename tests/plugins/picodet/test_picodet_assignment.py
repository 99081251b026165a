"""The batched assignment against one written image by image, pair by pair, class by class."""

from math import exp, log

import torch
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

from harness.data.batch import Targets
from harness.model.distances import boxes_of, distances_to, grid_points
from harness.model.dynamic_k import Assignment
from harness.model.features import FeatureSpec
from harness_plugins.picodet.assignment import assign, find_candidates
from harness_plugins.picodet.varifocal import varifocal_costs, varifocal_sum

SIDE, CLASSES, LARGEST, RADIUS = 64, 5, 10, 2.5
FEATURES = [FeatureSpec("p3", 8, 8), FeatureSpec("p4", 8, 16)]
POINTS = grid_points(FEATURES, (SIDE, SIDE), 0.5).double()
Box = list[float]


def is_inside(point: list[float], box: Box) -> bool:
    x, y, _ = point
    return box[0] < x < box[2] and box[1] < y < box[3]


def is_central(point: list[float], box: Box) -> bool:
    x, y, stride = point
    across, down = x - (box[0] + box[2]) / 2, y - (box[1] + box[3]) / 2
    return abs(across) < RADIUS * stride and abs(down) < RADIUS * stride


def overlap(one: Box, other: Box) -> tuple[float, float]:
    """IoU and GIoU."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    shared = width * height
    union = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)) - shared
    hull = (max(one[2], other[2]) - min(one[0], other[0])) * (
        max(one[3], other[3]) - min(one[1], other[1])
    )
    return shared / union, shared / union - (hull - union) / hull


def varifocal(logits: list[float], label: int, iou: float) -> float:
    """Over all classes of one point."""
    total = 0.0
    for c, logit in enumerate(logits):
        score = 1 / (1 + exp(-logit))
        if c == label and iou > 0:
            total += iou * -(iou * log(score) + (1 - iou) * log(1 - score))
        else:
            total += 0.75 * score**2 * -log(1 - score)
    return total


def assign_one(logits: Tensor, boxes: Tensor, truths: Tensor, labels: Tensor) -> dict[int, int]:
    """Point -> ground truth, of one image; as the paper and its program have it."""
    points, predicted, objects = POINTS.tolist(), boxes.tolist(), truths.tolist()
    candidates = [
        p for p, point in enumerate(points)
        if any(is_inside(point, box) or is_central(point, box) for box in objects)
    ]  # fmt: skip
    takers: dict[int, list[int]] = {}
    costs: dict[tuple[int, int], float] = {}
    for g, box in enumerate(objects):
        ious = {}
        for p in candidates:
            ious[p], giou = overlap(predicted[p], box)
            costs[p, g] = varifocal(logits[p].tolist(), int(labels[g]), ious[p]) + 6 * (1 - giou)
            if not (is_inside(points[p], box) and is_central(points[p], box)):
                costs[p, g] += 1e8
        count = max(1, int(sum(sorted(ious.values())[-LARGEST:])))
        for p in sorted(candidates, key=lambda p: costs[p, g])[:count]:
            takers.setdefault(p, []).append(g)
    return {
        p: found[0] if len(found) == 1 else min(range(len(objects)), key=lambda g: costs[p, g])
        for p, found in takers.items()
    }


def draw(seed: int, counts: list[int]) -> Batch:
    return draw_batch(POINTS, seed, counts, side=SIDE, classes=CLASSES)


def assign_all(logits: Tensor, boxes: Tensor, targets: Targets) -> Assignment:
    """In float64, in which the published 1e8 keeps the rest of a cost, as a smaller one does."""
    return assign(
        logits, boxes, POINTS, targets, largest=LARGEST, iou_weight=6.0, radius=RADIUS
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 6), min_size=1, max_size=4))
def test_equals_the_assignment_of_one_pair_at_a_time(seed: int, counts: list[int]) -> None:
    assert_as_one_by_one(draw(seed, counts), assign_all, assign_one)


def test_images_without_boxes_have_no_positives() -> None:
    assert_nothing_is_matched(draw(0, [0, 0]), assign_all)


def test_padding_takes_no_points() -> None:
    assert_padding_takes_no_points(draw(3, [2, 5]), assign_all)


def test_points_are_centres_of_cells() -> None:
    assert POINTS[:2].tolist() == [[4, 4, 8], [12, 4, 8]]
    assert POINTS[64:66].tolist() == [[8, 8, 16], [24, 8, 16]]
    distances = torch.rand(2, len(POINTS), 4).double() * 7
    torch.testing.assert_close(distances_to(POINTS, boxes_of(POINTS, distances)), distances)


def test_candidates_of_a_box_that_no_point_is_inside() -> None:
    """Its centre is (16, 16): of stride 8 those within 20 pixels, of stride 16 within 40."""
    truths = Targets(torch.tensor([[[15.0, 15, 17, 17]]]), torch.zeros(1, 1).long(), torch.ones(1))
    some, preferred = find_candidates(POINTS, truths, RADIUS)
    near = [(x, y) for y in (4, 12, 20, 28) for x in (4, 12, 20, 28)]
    assert POINTS[:64][some[0, :64], :2].tolist() == [list(p) for p in near]
    assert POINTS[64:][some[0, 64:], :2].amax() == 40
    assert not preferred.any()


def test_a_box_smaller_than_a_cell_takes_the_cheapest_in_float32_too() -> None:
    """Beside the published 1e8 all of its candidates would cost the same."""
    truths = Targets(torch.tensor([[[15.0, 15, 17, 17]]]), torch.zeros(1, 1).long(), torch.ones(1))
    boxes = torch.tensor([0.0, 0, 64, 64]).repeat(1, len(POINTS), 1)
    boxes[0, 18] = torch.tensor([14.0, 14, 18, 18])  # predicted at (20, 20)
    logits = torch.full((1, len(POINTS), CLASSES), -2.0)
    found = assign(
        logits, boxes, POINTS.float(), truths, largest=LARGEST, iou_weight=6.0, radius=RADIUS
    )  # fmt: skip
    assert found.positive[0].nonzero().tolist() == [[18]]


def test_the_loss_is_the_cost_of_what_is_matched() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 6, CLASSES, generator=rng).double()
    ious, labels = torch.rand(1, 3, 6, generator=rng).double(), torch.tensor([[4, 0, 2]])
    ious[0, 1, 2] = 0
    costs = varifocal_costs(logits, ious, labels)
    for g in range(3):
        for p in range(6):
            iou, label = float(ious[0, g, p]), int(labels[0, g])
            wanted = varifocal(logits[0, p].tolist(), label, iou)
            assert abs(float(costs[0, g, p]) - wanted) < 1e-9
            quality = torch.zeros(1, 1, CLASSES).double()
            quality[0, 0, label] = iou
            found = varifocal_sum(logits[:, p : p + 1], quality)
            assert abs(float(found) - wanted) < 1e-9
