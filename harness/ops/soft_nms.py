"""Soft-NMS (https://arxiv.org/abs/1704.04503, section 3) of padded groups, with static shapes."""

import torch
from torch import Tensor

from harness.ops.nms import pairwise_ious
from harness.ops.registration import register

SCHEMA = (
    "soft_nms_padded(Tensor boxes, Tensor scores, float iou_threshold, float min_score, "
    "str method, float sigma) -> Tensor"
)


def soft_nms_padded(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float = 0.5,
    min_score: float = 0.001,
    method: str = "linear",
    sigma: float = 0.5,
) -> Tensor:
    """Lowers, group by group, the scores of boxes that overlap a better one.

    Again and again the remaining box with the highest score, the first of equals, is taken with the
    score it then has, and the others decay: `linear` multiplies by 1 - IoU where the IoU exceeds
    the threshold, `gaussian` by exp(-IoU² / sigma) where the boxes overlap at all. A box that a
    decay brings below `min_score` is dropped.

    Args:
        boxes: (G, N, 4) xyxy with exclusive corners.
        scores: (G, N), any order; padding has scores of 0 or less, and NaN counts as padding.

    Returns:
        (G, N) final scores, 0 for dropped boxes and padding. No gradient.

    Raises:
        ValueError: Shapes or dtypes that do not fit, or an unknown method.
    """
    if boxes.ndim != 3 or boxes.shape[2] != 4 or scores.shape != boxes.shape[:2]:
        shapes = f"{tuple(boxes.shape)} and {tuple(scores.shape)}"
        raise ValueError(f"boxes must be (G, N, 4) and scores (G, N), not {shapes}")
    if boxes.dtype != scores.dtype:
        raise ValueError(f"boxes and scores differ in dtype: {boxes.dtype} and {scores.dtype}")
    if method not in ("linear", "gaussian"):
        raise ValueError(f"method is 'linear' or 'gaussian', not {method!r}")
    final: Tensor = torch.ops.harness.soft_nms_padded(
        boxes.detach(), scores.detach(), iou_threshold, min_score, method, sigma
    )
    return final


def soft_nms_padded_reference(
    boxes: Tensor, scores: Tensor, iou_threshold: float, min_score: float, method: str, sigma: float
) -> Tensor:
    """`harness::soft_nms_padded`, one step of all groups at a time."""
    dtype = torch.float64 if boxes.dtype == torch.float64 else torch.float32
    corners = boxes.to(dtype)
    left = torch.where(scores > 0, scores.to(dtype), 0.0)
    final = torch.zeros_like(left)
    positions = torch.arange(scores.shape[1], device=scores.device)
    for _ in range(scores.shape[1]):
        best, at = left.max(1, keepdim=True)
        if not bool((best > 0).any()):
            break
        taken = (positions == at) & (best > 0)
        final = torch.where(taken, best, final)
        left = torch.where(taken, 0.0, left)
        box = corners.gather(1, at[..., None].expand(-1, -1, 4))
        ious = pairwise_ious(box, corners)[:, 0]
        if method == "gaussian":
            hit, decayed = ious > 0, left * torch.exp(-(ious * ious) / sigma)
        else:
            hit, decayed = ious > iou_threshold, left * (1 - ious)
        decayed = torch.where(decayed < min_score, 0.0, decayed)
        left = torch.where(hit & (best > 0), decayed, left)
    return final.to(scores.dtype)


def _fake(
    boxes: Tensor, scores: Tensor, iou_threshold: float, min_score: float, method: str, sigma: float
) -> Tensor:
    return scores.new_empty(scores.shape)


register(SCHEMA, soft_nms_padded_reference, _fake)
