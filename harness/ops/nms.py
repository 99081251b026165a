"""Greedy NMS of padded groups (images, levels or classes), with static shapes."""

import torch
from torch import Tensor

from harness.ops.registration import register

SCHEMA = "nms_padded(Tensor boxes, Tensor valid, float iou_threshold) -> Tensor"


def nms_padded(boxes: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """Keeps, group by group, each box that no kept box before it overlaps by more than a threshold.

    Args:
        boxes: (G, N, 4) xyxy with exclusive corners, each group by descending score.
        valid: (G, N) bool, False for padding, or (G,) integer counts of the boxes in front.
        iou_threshold: A box goes if an IoU exceeds this; an equal IoU does not.

    Returns:
        (G, N) bool, False for padding. A box with NaN corners overlaps nothing and stays.

    Raises:
        ValueError: Shapes that do not fit.
    """
    if boxes.ndim != 3 or boxes.shape[2] != 4:
        raise ValueError(f"boxes must be (G, N, 4), not {tuple(boxes.shape)}")
    if valid.dtype != torch.bool and valid.ndim == 1:
        valid = torch.arange(boxes.shape[1], device=boxes.device) < valid[:, None]
    if valid.dtype != torch.bool or valid.shape != boxes.shape[:2]:
        wanted = f"{tuple(boxes.shape[:2])} bool or {(boxes.shape[0],)} counts"
        raise ValueError(f"valid must be {wanted}, not {tuple(valid.shape)} {valid.dtype}")
    keep: Tensor = torch.ops.harness.nms_padded(boxes.detach(), valid, iou_threshold)
    return keep


def pairwise_ious(first: Tensor, second: Tensor) -> Tensor:
    """(..., N, 4) and (..., M, 4) xyxy with exclusive corners -> (..., N, M). 0/0 is NaN."""
    corners, others = first[..., :, None, :], second[..., None, :, :]
    low = torch.maximum(corners[..., :2], others[..., :2])
    high = torch.minimum(corners[..., 2:], others[..., 2:])
    sides = (high - low).clamp(min=0)
    overlap = sides[..., 0] * sides[..., 1]
    return overlap / (_areas(corners) + _areas(others) - overlap)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def nms_padded_reference(boxes: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """`harness::nms_padded` by repeating the suppression until nothing changes.

    After k rounds the first k boxes of a group are as the greedy walk leaves them, so the state
    that a round leaves alone is exactly the greedy one; chains of boxes are short in practice.
    """
    boxes = boxes if boxes.dtype == torch.float64 else boxes.float()
    suppresses = (pairwise_ious(boxes, boxes) > iou_threshold).triu(1)
    keep = valid.clone()
    while True:
        survivors = valid & ~(suppresses & keep[:, :, None]).any(1)
        if torch.equal(survivors, keep):
            return keep
        keep = survivors


def _fake(boxes: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    return valid.new_empty(valid.shape)


register(SCHEMA, nms_padded_reference, _fake)
