"""Which ground truth a box stands for, for a batch at once."""

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data.batch import Targets

NEGATIVE, IGNORED = -1, -2


def pad_to_one(targets: Targets) -> Targets:
    """A batch without a single ground truth gets a row of padding, so that every G is positive."""
    if targets.boxes.shape[1] > 0:
        return targets
    boxes, labels = F.pad(targets.boxes, (0, 0, 0, 1)), F.pad(targets.labels, (0, 1))
    return Targets(boxes, labels, targets.counts)


def matched_rows(rows: Tensor, matched: Tensor) -> Tensor:
    """Of (B, G, 4) the rows (B, N, 4) that boxes are matched to; any row for unmatched ones."""
    return rows.gather(1, matched.clamp(min=0)[..., None].expand(-1, -1, rows.shape[2]))


def self_matches(valid: Tensor) -> Tensor:
    """(B, G) of ground truths that stand for themselves."""
    indices = torch.arange(valid.shape[1], device=valid.device)
    return torch.where(valid, indices, IGNORED)


def match_boxes(
    ious: Tensor,
    valid: Tensor,
    eligible: Tensor,
    *,
    positive_iou: float,
    negative_iou: float,
    min_positive_iou: float,
) -> Tensor:
    """Match boxes to ground truths by IoU, as Faster R-CNN does (arXiv 1506.01497, 3.1.2).

    A box whose best IoU reaches `positive_iou` is matched to that ground truth. Besides, every
    ground truth whose best IoU reaches `min_positive_iou` claims each box that ties with it, even
    from another ground truth; where several claim a box, the last does. Boxes below
    `negative_iou` are background.

    Args:
        ious: (B, G, N) with at least one row, overwritten.
        valid: (B, G), False on padding.
        eligible: (B or 1, N); other boxes take no part and are ignored.

    Returns:
        (B, N) int64: index of the ground truth, or NEGATIVE, or IGNORED.
    """
    ious.masked_fill_(~(valid[:, :, None] & eligible[:, None]), -1)
    best, matched = ious.max(1)
    matched = torch.where(best >= positive_iou, matched, IGNORED)
    matched = torch.where(eligible & (best < negative_iou), NEGATIVE, matched)
    claim = last_claim(ious, min_positive_iou)
    return torch.where(claim >= 0, claim, matched)


def last_claim(ious: Tensor, min_iou: float) -> Tensor:
    """(B, N) int64: the last ground truth that has no better box than this one, or -1.

    `ious` is (B, G, N) and is overwritten; ground truths without a box at `min_iou` claim none.
    """
    best = ious.amax(2, keepdim=True)
    # an IoU never exceeds 1, so no box ties with 2
    ties = ious.eq_(torch.where(best >= min_iou, best, 2.0))
    order = torch.arange(1, ious.shape[1] + 1, device=ious.device, dtype=ious.dtype)
    return ties.mul_(order[:, None]).amax(1).long() - 1
