import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import random_boxes

from harness.ops import soft_nms_padded
from harness.ops.soft_nms import soft_nms_padded_reference

OP = torch.ops.harness.soft_nms_padded
METHODS = pytest.mark.parametrize("method", ["linear", "gaussian"])


def overlap(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else math.nan


def by_hand(boxes, scores, threshold, min_score, method, sigma):
    """The definition, one box at a time, for one group."""
    left, final = list(scores), [0.0] * len(scores)
    while any(score > 0 for score in left):
        taken = left.index(max(left))
        final[taken], left[taken] = left[taken], 0.0
        for i, score in enumerate(left):
            iou = overlap(boxes[taken], boxes[i])
            hit = iou > threshold if method == "linear" else iou > 0
            if score > 0 and hit:
                left[i] *= 1 - iou if method == "linear" else math.exp(-iou * iou / sigma)
                left[i] = left[i] if left[i] >= min_score else 0.0
    return final


@METHODS
@pytest.mark.parametrize("soft_nms", [OP, soft_nms_padded_reference], ids=["op", "reference"])
def test_equals_the_definition(soft_nms, method):
    boxes = random_boxes(0, 4, 40, torch.float64)
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand((4, 40), generator=generator, dtype=torch.float64)
    scores[1, 10:], scores[2] = 0, -1
    final = soft_nms(boxes, scores, 0.3, 0.05, method, 0.5)
    for group in range(4):
        alive = scores[group].clamp(min=0).tolist()
        wanted = by_hand(boxes[group].tolist(), alive, 0.3, 0.05, method, 0.5)
        torch.testing.assert_close(final[group], torch.tensor(wanted, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_kernel_equals_reference(data):
    corner = st.one_of(st.integers(-3, 3).map(float), st.sampled_from([math.nan, math.inf, 1e38]))
    score = st.sampled_from([0.0, -1.0, 0.0005, 0.25, 0.5, 0.5, 1.0, math.nan])
    groups, size = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 20))
    count = groups * size
    boxes = data.draw(st.lists(corner, min_size=count * 4, max_size=count * 4))
    scores = data.draw(st.lists(score, min_size=count, max_size=count))
    arguments = (
        torch.tensor(boxes).view(groups, size, 4),
        torch.tensor(scores).view(groups, size),
        data.draw(st.sampled_from([0.0, 0.25, 0.5])),
        0.01,
        data.draw(st.sampled_from(["linear", "gaussian"])),
        0.5,
    )
    torch.testing.assert_close(OP(*arguments), soft_nms_padded_reference(*arguments))


@METHODS
def test_many_boxes(method):
    boxes = random_boxes(1, 3, 300)
    scores = torch.rand((3, 300), generator=torch.Generator().manual_seed(1))
    arguments = (boxes, scores, 0.3, 0.1, method, 0.5)
    torch.testing.assert_close(OP(*arguments), soft_nms_padded_reference(*arguments))


def test_the_first_of_equal_scores_is_taken():
    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 3]]])
    assert soft_nms_padded(boxes, torch.tensor([[0.5, 0.5]])).tolist() == [[0.5, 0.125]]


def test_an_iou_equal_to_the_threshold_decays_nothing():
    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 2]]])
    assert soft_nms_padded(boxes, torch.tensor([[0.75, 0.5]])).tolist() == [[0.75, 0.5]]


def test_a_box_that_falls_below_the_minimum_is_dropped():
    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 4]]])
    assert soft_nms_padded(boxes, torch.tensor([[0.75, 0.5]])).tolist() == [[0.75, 0.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype):
    boxes = random_boxes(2, 2, 60).to(dtype)
    scores = torch.rand((2, 60), generator=torch.Generator().manual_seed(2)).to(dtype)
    arguments = (boxes, scores, 0.5, 0.001, "linear", 0.5)
    final = OP(*arguments)
    assert final.dtype == dtype
    torch.testing.assert_close(final, soft_nms_padded_reference(*arguments))


@METHODS
def test_opcheck(method):
    boxes, scores = random_boxes(0, 2, 9), torch.rand(2, 9)
    torch.library.opcheck(OP, (boxes, scores, 0.5, 0.001, method, 0.5))


def test_what_does_not_fit_is_an_error():
    boxes = torch.zeros(1, 3, 4)
    with pytest.raises(ValueError, match=r"scores \(G, N\)"):
        soft_nms_padded(boxes, torch.zeros(1, 2))
    with pytest.raises(ValueError, match="differ in dtype"):
        soft_nms_padded(boxes, torch.zeros(1, 3).double())
    with pytest.raises(ValueError, match="not 'cubic'"):
        soft_nms_padded(boxes, torch.zeros(1, 3), method="cubic")


def test_a_box_for_all_groups_need_not_be_copied():
    boxes, scores = random_boxes(5, 1, 40), torch.rand(6, 40)
    shared = boxes.expand(6, -1, -1)
    found = soft_nms_padded(shared, scores)
    assert torch.equal(found, soft_nms_padded(shared.contiguous(), scores))
    turned = boxes.transpose(1, 2).contiguous().transpose(1, 2).expand(6, -1, -1)
    assert torch.equal(found, soft_nms_padded(turned, scores.t().contiguous().t()))


@pytest.mark.parametrize("backend", ["aot_eager"])
@METHODS
def test_compiles_whole(backend, method):
    compiled = torch.compile(soft_nms_padded, backend=backend, fullgraph=True)
    boxes, scores = random_boxes(6, 3, 30), torch.rand(3, 30)
    wanted = soft_nms_padded(boxes, scores, method=method)
    assert torch.equal(compiled(boxes, scores, method=method), wanted)
