"""AP of a class under many weightings of the images, as the bootstrap over images needs it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.ops.registration import register

SCHEMA = (
    "resampled_ap(Tensor weights, Tensor points, Tensor row, Tensor base, Tensor image, "
    "Tensor below, Tensor hit, Tensor change) -> Tensor"
)
LANES = 16  # resamples that the kernel takes at a time
RECALL_POINTS = 101
EPS = 2.0**-52  # pycocotools adds it to the denominator


def pack_weights(weights: Tensor) -> Tensor:
    """Weights as `resampled_ap` takes them: (blocks, images, 16), zero behind the last resample.

    Args:
        weights: (resamples, images) int32, not negative.
    """
    padded = F.pad(weights, (0, 0, 0, -len(weights) % LANES))
    blocks = padded.view(len(padded) // LANES, LANES, weights.shape[1])
    return blocks.transpose(1, 2).contiguous()


def resampled_ap(
    weights: Tensor,
    points: Tensor,
    row: Tensor,
    base: Tensor,
    image: Tensor,
    below: Tensor,
    hit: Tensor,
    change: Tensor,
) -> Tensor:
    """COCO's AP where each image counts as often as its weight says, of one class.

    Definition: COCOeval.accumulate of pycocotools. Detections are in the order of their scores, the
    best first, and only those that matched an object have to be named one by one.

    Args:
        weights: (blocks, images, 16) int32 by `pack_weights`.
        points: (p,) int8 tables, one behind the other: how many of the 101 recall points are
            reached with 0, 1, 2 ... true positives.
        row: (blocks * 16,) int64 where the table of each resample starts in `points`.
        base: (b,) int64 images of the detections that count unless `change` says otherwise.
        image: (m,) int64 images of the detections that may match.
        below: (m,) int64 how many of the base stand up to and with each of them.
        hit: (thresholds, m) bool true positives.
        change: (thresholds, m) int8 +1 where a detection counts that is not in the base, -1 where
            one of the base does not.

    Returns:
        (thresholds, blocks * 16) float64. No gradient.

    Raises:
        RuntimeError: dtypes or sizes that do not fit, or an image or a place that does not exist.
    """
    result: Tensor = torch.ops.harness.resampled_ap(
        weights, points, row, base, image, below, hit, change
    )
    return result


def resampled_ap_reference(
    weights: Tensor,
    points: Tensor,
    row: Tensor,
    base: Tensor,
    image: Tensor,
    below: Tensor,
    hit: Tensor,
    change: Tensor,
) -> Tensor:
    """`harness::resampled_ap` by cumulative sums, a block of resamples at a time."""
    found = []
    for block, start in zip(weights.mT, row.view(-1, LANES), strict=True):
        counted = F.pad(block[:, base].cumsum(1), (1, 0))[:, below]
        own = block[:, image]
        for hits, changes in zip(hit, change, strict=True):
            at = hits.nonzero()[:, 0]
            true = own[:, at].cumsum(1)
            total = (counted + (own * changes).cumsum(1))[:, at]
            precision = true / (total.double() + EPS)
            envelope = precision.flip(1).cummax(1).values.flip(1)
            reached = points[start[:, None] + true].double()
            steps = reached.diff(dim=1, prepend=reached.new_zeros((LANES, 1)))
            found.append((envelope * steps).sum(1) / RECALL_POINTS)
    if not found:
        return weights.new_zeros((len(hit), 0), dtype=torch.float64)
    return torch.stack(found).view(len(weights), len(hit), LANES).transpose(0, 1).flatten(1)


def _fake(weights: Tensor, points: Tensor, row: Tensor, *others: Tensor) -> Tensor:
    return weights.new_empty((others[3].shape[0], row.shape[0]), dtype=torch.float64)


register(SCHEMA, resampled_ap_reference, _fake)
