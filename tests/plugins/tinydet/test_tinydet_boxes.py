"""Box arithmetic: ordinary with exclusive corners, the published "+1" with inclusive ones."""

import math

import hypothesis.strategies as st
import torch
from hypothesis import given
from torch import Tensor
from torchvision.ops import box_iou

from harness.data.batch import Inputs
from harness.model.anchors import grid_anchors
from harness.ops import pairwise_ious
from harness.ops.boxes import encode_boxes
from harness_plugins.tinydet.boxes import (
    InclusiveFrame,
    anchors_inside,
    base_anchors,
    clip_boxes,
    decode_boxes,
)

coordinate = st.floats(0, 300, width=32)
side = st.floats(1, 200, width=32)
boxes = st.lists(st.tuples(coordinate, coordinate, side, side), min_size=1, max_size=8).map(
    lambda rows: torch.tensor([[x, y, x + w, y + h] for x, y, w, h in rows])
)


def inclusive(boxes: Tensor) -> Tensor:
    return boxes - torch.tensor([0.0, 0.0, 1.0, 1.0])


@given(boxes, boxes)
def test_ious_are_the_ordinary_ones(first: Tensor, second: Tensor) -> None:
    torch.testing.assert_close(pairwise_ious(first[None], second[None])[0], box_iou(first, second))


@given(boxes, boxes)
def test_ious_equal_the_published_rule_on_inclusive_corners(first: Tensor, second: Tensor) -> None:
    a, b = inclusive(first.double())[:, None], inclusive(second.double())[None]
    low, high = torch.maximum(a, b)[..., :2], torch.minimum(a, b)[..., 2:]
    inter = (high - low + 1).clamp(min=0).prod(-1)
    areas = [(c[..., 2] - c[..., 0] + 1) * (c[..., 3] - c[..., 1] + 1) for c in (a, b)]
    expected = inter / (areas[0] + areas[1] - inter)
    found = pairwise_ious(first.double()[None], second.double()[None])[0]
    torch.testing.assert_close(found, expected)


@given(boxes, st.integers(0, 2**31))
def test_decoding_undoes_encoding(anchors: Tensor, seed: int) -> None:
    anchors = anchors.double()
    noise = torch.rand(anchors.shape, generator=torch.Generator().manual_seed(seed)) * 3
    wanted = torch.cat([anchors[:, :2] - noise[:, :2], anchors[:, 2:] + noise[:, 2:]], 1)
    torch.testing.assert_close(decode_boxes(encode_boxes(wanted, anchors), anchors), wanted)


@given(boxes, st.lists(st.floats(-6, 6), min_size=4, max_size=4))
def test_decoding_equals_the_published_rule_on_inclusive_corners(
    anchors: Tensor, deltas: list[float]
) -> None:
    anchors = anchors.double()
    x1, y1, x2, y2 = inclusive(anchors).unbind(1)
    dx, dy = deltas[:2]
    limit = abs(math.log(16 / 1000))
    dw, dh = (max(-limit, min(limit, d)) for d in deltas[2:])
    w, h = (x2 - x1 + 1), (y2 - y1 + 1)
    cx, cy = (x1 + x2) / 2 + dx * w, (y1 + y2) / 2 + dy * h
    w, h = w * math.exp(dw), h * math.exp(dh)
    corners = [cx - w / 2 + 0.5, cy - h / 2 + 0.5, cx + w / 2 - 0.5, cy + h / 2 - 0.5]
    found = decode_boxes(torch.tensor(deltas, dtype=torch.float64).expand_as(anchors), anchors)
    torch.testing.assert_close(inclusive(found), torch.stack(corners, 1))


@given(boxes)
def test_clipping_holds_inclusive_corners_inside(boxes: Tensor) -> None:
    found = inclusive(clip_boxes(boxes - 50, (120, 200)))
    assert (found >= 0).all()
    assert (found <= torch.tensor([199.0, 119.0, 199.0, 119.0])).all()
    within = torch.tensor([[3.0, 4.0, 30.0, 40.0]])
    assert torch.equal(clip_boxes(within, (120, 200)), within)


@given(boxes, st.floats(0.1, 4), st.floats(0.1, 4))
def test_frame_scales_inclusive_corners(boxes: Tensor, sy: float, sx: float) -> None:
    size = torch.tensor([[10_000, 10_000]])
    inputs = Inputs(torch.empty(1, 3, 1, 1), size, torch.tensor([[sy, sx]]), size)
    scaled = InclusiveFrame().to_network(boxes[None], inputs)
    scale = torch.tensor([sx, sy, sx, sy])
    torch.testing.assert_close(inclusive(scaled[0]), inclusive(boxes) * scale)
    back = InclusiveFrame().to_image(scaled, inputs)[0]
    torch.testing.assert_close(back, boxes, rtol=1e-4, atol=1e-2)


def test_frame_keeps_the_last_pixel_inside() -> None:
    """Halved, the last inclusive column 639 becomes 319.5, of which 319 is in the image."""
    size, whole = torch.tensor([[240, 320]]), torch.tensor([[[0.0, 0.0, 640.0, 480.0]]])
    inputs = Inputs(torch.empty(1, 3, 240, 320), size, torch.tensor([[0.5, 0.5]]), 2 * size)
    assert InclusiveFrame().to_network(whole, inputs).tolist() == [[[0.0, 0.0, 320.0, 240.0]]]


@given(st.sampled_from([4, 8, 16, 32, 64]), st.sampled_from([2.25, 3.2, 5.12]), st.integers(1, 6))
def test_anchors_are_whole_inclusive_pixels_row_by_row(
    stride: int, scale: float, width: int
) -> None:
    base = base_anchors(stride, scale, (0.5, 1.0, 2.0))
    anchors = inclusive(grid_anchors((3, width), stride, base))
    assert torch.equal(anchors, anchors.round())
    for index, anchor in enumerate(anchors.tolist()):
        cell, ratio = divmod(index, 3)
        row, column = divmod(cell, width)
        root = math.sqrt((0.5, 1.0, 2.0)[ratio])
        w, h = stride * scale / root, stride * scale * root
        x, y = column * stride + (stride - 1) / 2, row * stride + (stride - 1) / 2
        exact = (x - (w - 1) / 2, y - (h - 1) / 2, x + (w - 1) / 2, y + (h - 1) / 2)
        assert all(abs(a - b) <= 0.5 + 1e-4 for a, b in zip(anchor, exact, strict=True))


def test_anchors_of_the_published_small_detector() -> None:
    base = inclusive(base_anchors(8, 2.25, (0.5, 1.0, 2.0)))
    assert base.tolist() == [[-9, -2, 16, 9], [-5, -5, 12, 12], [-2, -9, 9, 16]]


def test_anchors_that_touch_the_border_are_inside() -> None:
    rows = torch.tensor(
        [[0, 0, 20, 10], [-1, 0, 5, 5], [0, 0, 21, 5], [0, 0, 5, 11], [0, -1, 5, 5]]
    ).float()
    assert anchors_inside(rows, (10, 20)).tolist() == [True, False, False, False, False]
