"""What the losses of RPNs, box heads and dense heads share: matching, sampling, and sums.

The boxes of a batch are matched to its ground truths; some of them are sampled, at random for the
RPN and the hardest for the box head; losses are summed over these, and the caller divides.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data.batch import Targets
from harness.errors import UserError

NEGATIVE, IGNORED = -1, -2


def check_labels(targets: Targets, num_classes: int) -> None:
    """Raises UserError where a box has a label that the head has no class for.

    Only on a CPU, where looking costs nothing; a GPU's own check of indices ends the run.
    """
    if targets.labels.device.type != "cpu" or torch.compiler.is_compiling():
        return
    most = int(targets.labels.max()) if targets.labels.numel() else 0
    if most >= num_classes:
        raise UserError(
            f"a box has class {most}, but the head has {num_classes} classes, from 0",
            hint="train it on the data set that it was built for",
        )


def matched_rows(rows: Tensor, matched: Tensor) -> Tensor:
    """The rows (B, N, 4) of (B, G, 4) that boxes are matched to; any row for unmatched ones."""
    return rows.gather(1, matched.clamp(min=0)[..., None].expand(-1, -1, rows.shape[2]))


def self_matches(valid: Tensor) -> Tensor:
    """(B, G) matches of the ground truths, as boxes, to themselves."""
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
    keep_nearest: bool = False,
) -> Tensor:
    """Match boxes to ground truths by IoU, as Faster R-CNN does (arXiv 1506.01497, 3.1.2).

    A box whose best IoU reaches `positive_iou` is matched to that ground truth. In addition, every
    ground truth whose best IoU reaches `min_positive_iou` claims each box with that IoU, even
    from another ground truth; if several claim a box, the last does. Boxes below
    `negative_iou` are background.

    Args:
        ious: (B, G, N) with at least one row, overwritten.
        valid: (B, G), False on padding.
        eligible: (B or 1, N); other boxes are ignored.
        keep_nearest: a box that is claimed stays with the ground truth that it overlaps most, as
            torchvision has it.

    Returns:
        (B, N) int64: index of the ground truth, or NEGATIVE, or IGNORED.
    """
    ious.masked_fill_(~(valid[:, :, None] & eligible[:, None]), -1)
    best, nearest = ious.max(1)
    matched = torch.where(best >= positive_iou, nearest, IGNORED)
    matched = torch.where(eligible & (best < negative_iou), NEGATIVE, matched)
    claim = last_claim(ious, min_positive_iou)
    return torch.where(claim >= 0, nearest if keep_nearest else claim, matched)


def last_claim(ious: Tensor, min_iou: float) -> Tensor:
    """(B, N) int64: the last ground truth that has no better box than this one, or -1.

    `ious` is (B, G, N) and is overwritten; ground truths without a box at `min_iou` claim none.
    """
    best = ious.amax(2, keepdim=True)
    # an IoU never exceeds 1, so no box ties with 2
    ties = ious.eq_(torch.where(best >= min_iou, best, 2.0))
    order = torch.arange(1, ious.shape[1] + 1, device=ious.device, dtype=ious.dtype)
    return ties.mul_(order[:, None]).amax(1).long() - 1


@dataclass(frozen=True)
class Samples:
    """Chosen boxes of each image, positives first, then negatives, then padding.

    Attributes:
        indices: (B, S) int64 into the boxes of an image; any index on padding.
        positive: (B, S) bool.
        negative: (B, S) bool. Padding is neither.
    """

    indices: Tensor
    positive: Tensor
    negative: Tensor

    @property
    def valid(self) -> Tensor:
        return self.positive | self.negative


def select_samples(
    positive: Tensor, negative: Tensor, keys: Tensor, limit: int | None, positive_fraction: float
) -> Samples:
    """Choose up to `limit` boxes per image, as many of them positive as the fraction allows.

    Negatives fill the rest. Of each kind those with the greatest keys are chosen: random keys
    sample at random, losses as keys mine hard examples (https://arxiv.org/abs/1604.03540).

    Args:
        positive, negative: (B, N) bool, never both.
        keys: (B, N).
        limit: None takes all.
        positive_fraction: of `limit` (of all boxes where that is None).
    """
    count = keys.shape[1]
    limit = count if limit is None else limit
    positives, is_positive = _greatest(positive, keys, min(int(limit * positive_fraction), count))
    negatives, is_negative = _greatest(negative, keys, min(limit, count))
    rank = torch.arange(negatives.shape[1], device=keys.device)
    is_negative = is_negative & (rank < limit - is_positive.sum(1, keepdim=True))
    kind = torch.cat([is_positive * 2, is_negative * 1], 1)
    kind, order = kind.topk(min(limit, kind.shape[1]), 1)
    indices = torch.cat([positives, negatives], 1).gather(1, order)
    return Samples(indices, kind == 2, kind == 1)


def _greatest(mask: Tensor, keys: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(B, count) indices of the greatest keys under a mask, best first, and which of them exist.

    The keys must be above -inf.
    """
    values, indices = keys.masked_fill(~mask, -torch.inf).topk(count, 1)
    return indices, values > -torch.inf


def objectness_sum(logits: Tensor, positive: Tensor, chosen: Tensor) -> Tensor:
    """Sigmoid cross-entropy over `chosen`; all of the same shape."""
    losses = F.binary_cross_entropy_with_logits(
        logits.float(), positive.to(logits.dtype).float(), reduction="none"
    )
    return (losses * chosen).sum()


def cross_entropy_sum(logits: Tensor, labels: Tensor, chosen: Tensor) -> Tensor:
    """Softmax cross-entropy over `chosen` (N,) of logits (N, C)."""
    return (F.cross_entropy(logits.float(), labels, reduction="none") * chosen).sum()


def smooth_l1_sum(deltas: Tensor, targets: Tensor, chosen: Tensor, beta: float) -> Tensor:
    """Smooth L1 (https://arxiv.org/abs/1504.08083) over `chosen` (...) of deltas (..., 4)."""
    # targets of padding may be infinite, which would turn to NaN when multiplied by zero
    targets = targets.masked_fill(~chosen[..., None], 0)
    losses = F.smooth_l1_loss(deltas.float(), targets, beta=beta, reduction="none")
    return (losses * chosen[..., None]).sum()
