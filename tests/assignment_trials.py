"""What every assignment of points to ground truths is tried with, of many images at once."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou

from harness.data.batch import Targets
from harness.model.distances import boxes_of
from harness.model.dynamic_k import UNMATCHED, Assignment

Batch = tuple[Tensor, Tensor, Targets]  # logits, boxes as predicted, ground truths
AssignAll = Callable[[Tensor, Tensor, Targets], Assignment]
# logits (N, C), boxes (N, 4), truths (G, 4), labels (G,) of one image -> point: ground truth
AssignOne = Callable[[Tensor, Tensor, Tensor, Tensor], dict[int, int]]


def draw_batch(points: Tensor, seed: int, counts: list[int], *, side: int, classes: int) -> Batch:
    """Predictions near the ground truths, and ground truths of all sizes, some without area.

    Args:
        points: (N, 3), whose dtype everything has.
        side: of the square image.
    """
    rng, width = torch.Generator().manual_seed(seed), max(1, *counts)
    logits = torch.randn(len(counts), len(points), classes, generator=rng) * 2 - 1
    distances = torch.rand(len(counts), len(points), 4, generator=rng) * 4
    low = torch.rand(len(counts), width, 2, generator=rng) * side
    sides = torch.rand(len(counts), width, 2, generator=rng).pow(2) * side
    sides = sides * (torch.rand(len(counts), width, 1, generator=rng) > 0.2)
    truths = torch.cat([low, low + sides], -1).to(points)
    labels = torch.randint(classes, (len(counts), width), generator=rng)
    targets = Targets(truths, labels, torch.tensor(counts))
    return logits.to(points), boxes_of(points, distances.to(points)), targets


def assert_as_one_by_one(batch: Batch, assign_all: AssignAll, assign_one: AssignOne) -> None:
    logits, boxes, targets = batch
    found = assign_all(logits, boxes, targets)
    for i, count in enumerate(targets.counts.tolist()):
        truths, labels = targets.boxes[i, :count], targets.labels[i, :count]
        wanted = assign_one(logits[i], boxes[i], truths, labels)
        matched = {p: g for p, g in enumerate(found.matched[i].tolist()) if g != UNMATCHED}
        assert matched == wanted
        for p, g in wanted.items():
            iou = box_iou(boxes[i, p][None], truths[g][None])[0, 0]
            torch.testing.assert_close(found.quality[i, p], iou)
        assert not found.quality[i][~found.positive[i]].any()


def assert_nothing_is_matched(batch: Batch, assign_all: AssignAll) -> None:
    """Where no image has a box."""
    found = assign_all(*batch)
    assert not found.positive.any()
    assert not found.quality.any()


def assert_padding_takes_no_points(batch: Batch, assign_all: AssignAll) -> None:
    logits, boxes, targets = batch
    wide = Targets(
        F.pad(targets.boxes, (0, 0, 0, 4), value=50.0),
        F.pad(targets.labels, (0, 4)),
        targets.counts,
    )
    one, other = assign_all(logits, boxes, targets), assign_all(logits, boxes, wide)
    assert one.positive.any()
    assert torch.equal(one.matched, other.matched)
    assert torch.equal(one.quality, other.quality)
