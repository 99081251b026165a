"""The batched assignment against one written image by image and object by object."""

import torch
import torch.nn.functional as F
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


def draw_batch(seed: int, counts: list[int]) -> tuple[Tensor, Tensor, Targets]:
    """Predictions near the ground truths, and ground truths of all sizes, some without area."""
    rng, width = torch.Generator().manual_seed(seed), max(1, *counts)
    logits = torch.randn(len(counts), len(POINTS), CLASSES, generator=rng) * 2 - 1
    distances = torch.rand(len(counts), len(POINTS), 4, generator=rng) * 4
    low = torch.rand(len(counts), width, 2, generator=rng) * SIDE
    sides = torch.rand(len(counts), width, 2, generator=rng).pow(2) * SIDE
    sides = sides * (torch.rand(len(counts), width, 1, generator=rng) > 0.2)
    truths = torch.cat([low, low + sides], -1)
    labels = torch.randint(CLASSES, (len(counts), width), generator=rng)
    return logits, boxes_of(POINTS, distances), Targets(truths, labels, torch.tensor(counts))


def assign_all(logits: Tensor, boxes: Tensor, targets: Targets) -> Assignment:
    return assign(logits, boxes, POINTS, targets, largest=LARGEST, iou_weight=3.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 7), min_size=1, max_size=4))
def test_equals_the_assignment_of_one_image_at_a_time(seed: int, counts: list[int]) -> None:
    logits, boxes, targets = draw_batch(seed, counts)
    found = assign_all(logits, boxes, targets)
    for i, count in enumerate(counts):
        truths, labels = targets.boxes[i, :count], targets.labels[i, :count]
        wanted = assign_one(logits[i], boxes[i], truths, labels)
        matched = {p: g for p, g in enumerate(found.matched[i].tolist()) if g != UNMATCHED}
        assert matched == wanted
        for p, g in wanted.items():
            iou = box_iou(boxes[i, p][None], truths[g][None])[0, 0]
            torch.testing.assert_close(found.quality[i, p], iou)
        assert not found.quality[i][~found.positive[i]].any()


def test_images_without_boxes_have_no_positives() -> None:
    logits, boxes, targets = draw_batch(0, [0, 0])
    found = assign_all(logits, boxes, targets)
    assert not found.positive.any()
    assert not found.quality.any()


def test_padding_takes_no_points() -> None:
    logits, boxes, targets = draw_batch(3, [2, 5])
    wide = Targets(
        F.pad(targets.boxes, (0, 0, 0, 4), value=50.0),
        F.pad(targets.labels, (0, 4)),
        targets.counts,
    )
    a, b = assign_all(logits, boxes, targets), assign_all(logits, boxes, wide)
    assert torch.equal(a.matched, b.matched)
    assert torch.equal(a.quality, b.quality)


def test_a_box_without_a_point_takes_one_of_another() -> None:
    logits, boxes, _ = draw_batch(1, [2])
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
