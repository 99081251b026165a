"""Greedy NMS of padded groups (images, levels or classes), with static shapes."""

import math

import torch
from torch import Tensor

from harness.ops.boxes import pairwise_ious
from harness.ops.registration import register

SCHEMA = (
    "nms_padded(Tensor boxes, Tensor valid, float iou_threshold, SymInt max_output) "
    "-> (Tensor, Tensor)"
)


def nms_padded(
    boxes: Tensor, valid: Tensor, iou_threshold: float, max_output: int | None = None
) -> tuple[Tensor, Tensor]:
    """Keeps, per group, each box whose IoU with every kept box before it is within a threshold.

    Args:
        boxes: (G, N, 4) xyxy with exclusive corners, each group by descending score.
        valid: (G, N) bool, False for padding, or (G,) integers: the first so many boxes are valid.
        iou_threshold: A box is suppressed if an IoU exceeds this, not if it is equal.
        max_output: At most this many boxes per group are kept, the first ones. None: all.

    Returns:
        Indices of the kept boxes, (G, max_output) int64 in ascending order, then zeros; and their
        number, (G,) int64. A box with NaN corners overlaps nothing and stays.

    Raises:
        ValueError: Shapes that do not fit, or a negative `max_output`.
    """
    if boxes.ndim != 3 or boxes.shape[2] != 4:
        raise ValueError(f"boxes must be (G, N, 4), not {tuple(boxes.shape)}")
    counted = valid.ndim == 1 and valid.dtype != torch.bool
    fits = valid.shape == boxes.shape[: 1 if counted else 2]
    if not fits or not (counted or valid.dtype == torch.bool):
        expected = f"{tuple(boxes.shape[:2])} bool or {(boxes.shape[0],)} counts"
        raise ValueError(f"valid must be {expected}, not {tuple(valid.shape)} {valid.dtype}")
    if max_output is None:
        max_output = boxes.shape[1]
    if max_output < 0:
        raise ValueError(f"max_output must be 0 or more, not {max_output}")
    kept: tuple[Tensor, Tensor] = torch.ops.harness.nms_padded(
        boxes.detach(), valid.long() if counted else valid, iou_threshold, max_output
    )
    return kept


def nms_padded_reference(
    boxes: Tensor, valid: Tensor, iou_threshold: float, max_output: int
) -> tuple[Tensor, Tensor]:
    """`harness::nms_padded`: all that is kept, then the first `max_output` of it."""
    if valid.ndim == 1:
        valid = torch.arange(boxes.shape[1], device=boxes.device) < valid[:, None]
    keep = _find_kept(boxes, valid, iou_threshold)
    ranks = keep.cumsum(1) - 1
    chosen = keep & (ranks < max_output)
    positions = torch.arange(boxes.shape[1], device=boxes.device).expand_as(ranks)
    indices = ranks.new_zeros((boxes.shape[0], max_output + 1))  # the last column is for the rest
    indices.scatter_(1, torch.where(chosen, ranks, max_output), positions)
    return indices[:, :max_output].contiguous(), chosen.sum(1)


def _find_kept(boxes: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """(G, N) bool, by repeating the suppression until nothing changes.

    After k rounds the first k boxes of a group are as in the greedy algorithm, so a state
    that a round does not change is exactly the greedy one; chains of boxes are short in practice.
    """
    boxes = boxes if boxes.dtype == torch.float64 else boxes.float()
    suppresses = (pairwise_ious(boxes, boxes, math.nan) > iou_threshold).triu(1)
    keep = valid.clone()
    while True:
        survivors = valid & ~(suppresses & keep[:, :, None]).any(1)
        if torch.equal(survivors, keep):
            return keep
        keep = survivors


def _fake(boxes: Tensor, valid: Tensor, _: float, max_output: int) -> tuple[Tensor, Tensor]:
    groups = boxes.shape[0]
    indices = boxes.new_empty((groups, max_output), dtype=torch.int64)
    return indices, boxes.new_empty((groups,), dtype=torch.int64)


register(SCHEMA, nms_padded_reference, _fake)
