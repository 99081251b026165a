"""Whether two ways to run a detector find the same things."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.boxes import pairwise_ious
from harness.model.types import Detections

Floats = NDArray[np.float64]
# Far above what rounding moves a box by, far below the distance of a neighbour that NMS leaves.
SAME_BOX = 0.9
NOT_THE_SAME = -1.0


@dataclass(frozen=True)
class Tolerance:
    """How far a mode may be from eager float32.

    Attributes:
        score: within which scores of the same object lie.
        agreement: the least that is required.
        ap_drop: by which AP may be lower, 0..1.
    """

    score: float
    agreement: float
    ap_drop: float


# Folding and fusing change the order of float32 sums, which moves scores in the sixth digit. Where
# two candidates are almost equal NMS may then keep the other one, which is all that 1 % leaves
# room for: a wrong fold or a dropped layer moves most detections.
FLOAT32 = Tolerance(score=0.01, agreement=0.99, ap_drop=0.002)
# TF32 rounds the factors of every product to the 10 bits that float16 has, but neither the sums
# nor what is handed from layer to layer: scores move in the third digit.
TF32 = Tolerance(score=0.02, agreement=0.97, ap_drop=0.004)
# Sixteen bits carry three decimal digits (bfloat16: two and a half) through some fifty layers:
# scores move in the second digit, and with them who wins in NMS and who passes the threshold.
HALF = Tolerance(score=0.05, agreement=0.90, ap_drop=0.01)
TOLERANCES: Mapping[str, Tolerance] = {
    "float32": FLOAT32,
    "tf32": TF32,
    "bfloat16": HALF,
    "float16": HALF,
}


@dataclass(frozen=True, eq=False)
class Found:
    """The detections of one image: boxes (N, 4) xyxy, scores (N,), labels (N,)."""

    boxes: Floats
    scores: Floats
    labels: NDArray[np.int64]


def split_images(detections: Detections) -> list[Found]:
    """A batch in the host's memory, image by image, without its padding."""
    return [
        Found(boxes[:n].double().numpy(), scores[:n].double().numpy(), labels[:n].numpy())
        for boxes, scores, labels, n in zip(
            detections.boxes,
            detections.scores,
            detections.labels,
            detections.counts.tolist(),
            strict=True,
        )
    ]


def measure_agreement(
    ones: Sequence[Found], others: Sequence[Found], score_tolerance: float
) -> float:
    """Share of what both sides found that has a counterpart on the other, weighted by score.

    A counterpart has the same label, an IoU of `SAME_BOX` or more, and a score within the
    tolerance; each serves once, and those of the best scores choose the nearest first. Weights
    keep the many detections that nobody believes from outvoting the few that count.

    Args:
        ones, others: image by image.

    Returns:
        0..1; 1 where neither side found anything.
    """
    pairs = list(zip(ones, others, strict=True))
    shared = sum(_shared_score(one, other, score_tolerance) for one, other in pairs)
    total = sum(float(one.scores.sum() + other.scores.sum()) for one, other in pairs)
    return shared / total if total > 0 else 1.0


def _shared_score(one: Found, other: Found, tolerance: float) -> float:
    """Sum of the scores, on both sides, of detections that have a counterpart."""
    if not one.scores.size or not other.scores.size:
        return 0.0
    ious, apart = _ious(one.boxes, other.boxes), np.abs(one.scores[:, None] - other.scores)
    same = (ious >= SAME_BOX) & (apart <= tolerance) & (one.labels[:, None] == other.labels)
    nearness = np.where(same, ious - apart, NOT_THE_SAME)
    shared = 0.0
    for row in np.argsort(-one.scores, kind="stable"):
        best = int(nearness[row].argmax())
        if nearness[row, best] > NOT_THE_SAME:
            nearness[:, best] = NOT_THE_SAME
            shared += float(one.scores[row] + other.scores[best])
    return shared


def _ious(one: Floats, other: Floats) -> Floats:
    """(N, M); boxes without area are the same where their corners are."""
    equal = (one[:, None] == other).all(axis=2)
    return np.where(equal, 1.0, pairwise_ious(one, other))
