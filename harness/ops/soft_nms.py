"""Soft-NMS (https://arxiv.org/abs/1704.04503, section 3) of padded boxes, with static shapes."""

import math
from typing import Any

import torch
from torch import Tensor

from harness.ops.boxes import pairwise_ious
from harness.ops.registration import register

SCHEMA = (
    "soft_nms_padded(Tensor boxes, Tensor scores, Tensor? counts, float score_threshold, "
    "float iou_threshold, float min_score, str method, float sigma) -> Tensor"
)


def soft_nms_padded(
    boxes: Tensor,
    scores: Tensor,
    counts: Tensor | None = None,
    *,
    score_threshold: float = 0.0,
    iou_threshold: float = 0.5,
    min_score: float = 0.001,
    method: str = "linear",
    sigma: float = 0.5,
) -> Tensor:
    """Decays, per class of each image, the scores of boxes that overlap a better one.

    Repeatedly the remaining box with the highest score, the first of equals, is taken with its
    current score, and the others decay: `linear` multiplies by 1 - IoU where the IoU exceeds
    the threshold, `gaussian` by exp(-IoU² / sigma) where the boxes overlap at all. A box that a
    decay brings below `min_score` is dropped.

    Args:
        boxes: (B, N, 4) xyxy with exclusive corners, which all classes of an image share.
        scores: (B, C, N), any order and memory format.
        counts: (B,) int64, the number of boxes per image; the others are padding. None: all.
        score_threshold: 0 or more; only boxes with a higher score take part, never NaN.

    Returns:
        (B, C, N) final scores, contiguous, 0 for boxes that are dropped or take no part. No
        gradient.

    Raises:
        ValueError: Shapes or dtypes that do not fit, or an unknown method.
    """
    if boxes.ndim != 3 or boxes.shape[2] != 4 or scores.ndim != 3:
        raise ValueError(
            f"boxes must be (B, N, 4) and scores (B, C, N), not {_shapes(boxes, scores)}"
        )
    if scores.shape[::2] != boxes.shape[:2]:
        raise ValueError(f"boxes (B, N, 4) and scores (B, C, N) differ: {_shapes(boxes, scores)}")
    if boxes.dtype != scores.dtype:
        raise ValueError(f"boxes and scores differ in dtype: {boxes.dtype} and {scores.dtype}")
    if method not in ("linear", "gaussian"):
        raise ValueError(f"method is 'linear' or 'gaussian', not {method!r}")
    if score_threshold < 0:
        raise ValueError(f"score_threshold must be 0 or more, not {score_threshold}")
    final: Tensor = torch.ops.harness.soft_nms_padded(
        boxes.detach(),
        scores.detach(),
        counts,
        score_threshold,
        iou_threshold,
        min_score,
        method,
        sigma,
    )
    return final


def _shapes(boxes: Tensor, scores: Tensor) -> str:
    return f"{tuple(boxes.shape)} and {tuple(scores.shape)}"


def soft_nms_padded_reference(
    boxes: Tensor,
    scores: Tensor,
    counts: Tensor | None,
    score_threshold: float,
    iou_threshold: float,
    min_score: float,
    method: str,
    sigma: float,
) -> Tensor:
    """`harness::soft_nms_padded`, one step of all classes at a time."""
    dtype = torch.float64 if boxes.dtype == torch.float64 else torch.float32
    corners = boxes.to(dtype)[:, None]
    positions = torch.arange(scores.shape[2], device=scores.device)
    left = scores.to(dtype).contiguous()
    present = left > score_threshold
    if counts is not None:
        present = present & (positions < counts[:, None, None])
    left = torch.where(present, left, 0.0)
    final = torch.zeros_like(left)
    for _ in range(scores.shape[2]):
        best, at = left.max(2, keepdim=True)
        if not bool((best > 0).any()):
            break
        taken = (positions == at) & (best > 0)
        final = torch.where(taken, best, final)
        left = torch.where(taken, 0.0, left)
        box = boxes.to(dtype).gather(1, at.expand(-1, -1, 4))[:, :, None]
        ious = pairwise_ious(box, corners, math.nan)[:, :, 0]
        if method == "gaussian":
            hit, decayed = ious > 0, left * torch.exp(-(ious * ious) / sigma)
        else:
            hit, decayed = ious > iou_threshold, left * (1 - ious)
        decayed = torch.where(decayed < min_score, 0.0, decayed)
        left = torch.where(hit & (best > 0), decayed, left)
    return final.to(scores.dtype)


def _fake(boxes: Tensor, scores: Tensor, *_: Any) -> Tensor:
    return scores.new_empty(scores.shape)


register(SCHEMA, soft_nms_padded_reference, _fake)
