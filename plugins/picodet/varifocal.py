"""The varifocal loss, as a loss and as the cost of a match.

Paper: https://arxiv.org/abs/2008.13367, section 3.2: cross-entropy of a class's score to the IoU of
the box, weighted by that IoU; of a class that is not there to 0, weighted by the score's square.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

ALPHA = 0.75  # of classes that are not there


def varifocal_sum(logits: Tensor, qualities: Tensor) -> Tensor:
    """The loss, summed.

    Args:
        logits: (B, N, C).
        qualities: (B, N, C) in [0, 1]; 0 where a class is not at a point.
    """
    weights = torch.where(qualities > 0, qualities, ALPHA * logits.sigmoid().square())
    losses = F.binary_cross_entropy_with_logits(logits, qualities, reduction="none")
    return (losses * weights).sum()


def varifocal_costs(logits: Tensor, ious: Tensor, labels: Tensor) -> Tensor:
    """The loss of each point over all classes, were it matched to each ground truth.

    Summed once as if no class were there, then corrected for that of the ground truth.

    Args:
        logits: (B, N, C).
        ious: (B, G, N).
        labels: (B, G).

    Returns:
        (B, G, N).
    """
    absent = ALPHA * logits.sigmoid().square() * F.softplus(logits)
    own = labels[:, None].expand(-1, logits.shape[1], -1)
    own_logits, own_absent = (x.gather(2, own).transpose(1, 2) for x in (logits, absent))
    present = ious * (F.softplus(own_logits) - ious * own_logits)
    total = absent.sum(2)[:, None]
    return total - own_absent + torch.where(ious > 0, present, own_absent)
