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
    counts = torch.tensor([30, 40])
    shared = boxes[:2]
    per_class = scores.view(2, 2, 40)
    final = soft_nms(shared, per_class, counts, 0.1, 0.3, 0.05, method, 0.5)
    for image, count in enumerate(counts.tolist()):
        for label in range(2):
            own = per_class[image, label]
            alive = [x if x > 0.1 and i < count else 0.0 for i, x in enumerate(own.tolist())]
            wanted = by_hand(shared[image].tolist(), alive, 0.3, 0.05, method, 0.5)
            found = final[image, label]
            torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_kernel_equals_reference(data):
    corner = st.one_of(st.integers(-3, 3).map(float), st.sampled_from([math.nan, math.inf, 1e38]))
    score = st.sampled_from([0.0, -1.0, 0.0005, 0.25, 0.5, 0.5, 1.0, math.nan])
    images, classes = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))
    size = data.draw(st.integers(0, 20))
    corners, count = images * size * 4, images * classes * size
    boxes = data.draw(st.lists(corner, min_size=corners, max_size=corners))
    scores = data.draw(st.lists(score, min_size=count, max_size=count))
    counts = data.draw(st.lists(st.integers(0, size), min_size=images, max_size=images))
    arguments = (
        torch.tensor(boxes).view(images, size, 4),
        torch.tensor(scores).view(images, classes, size),
        data.draw(st.sampled_from([None, torch.tensor(counts, dtype=torch.int64)])),
        data.draw(st.sampled_from([0.0, 0.25])),
        data.draw(st.sampled_from([0.0, 0.25, 0.5])),
        0.01,
        data.draw(st.sampled_from(["linear", "gaussian"])),
        0.5,
    )
    torch.testing.assert_close(OP(*arguments), soft_nms_padded_reference(*arguments))


@METHODS
def test_many_boxes(method):
    boxes = random_boxes(1, 3, 300)
    scores = torch.rand((3, 2, 300), generator=torch.Generator().manual_seed(1))
    arguments = (boxes, scores, None, 0.0, 0.3, 0.1, method, 0.5)
    torch.testing.assert_close(OP(*arguments), soft_nms_padded_reference(*arguments))


def test_the_first_of_equal_scores_is_taken():
    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 3]]])
    assert soft_nms_padded(boxes, torch.tensor([[[0.5, 0.5]]])).tolist() == [[[0.5, 0.125]]]


def test_an_iou_equal_to_the_threshold_decays_nothing():
    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 2]]])
    assert soft_nms_padded(boxes, torch.tensor([[[0.75, 0.5]]])).tolist() == [[[0.75, 0.5]]]


def test_a_box_that_falls_below_the_minimum_is_dropped():
    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 4]]])
    assert soft_nms_padded(boxes, torch.tensor([[[0.75, 0.5]]])).tolist() == [[[0.75, 0.0]]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype):
    boxes = random_boxes(2, 2, 60).to(dtype)
    scores = torch.rand((2, 3, 60), generator=torch.Generator().manual_seed(2)).to(dtype)
    arguments = (boxes, scores, None, 0.0, 0.5, 0.001, "linear", 0.5)
    final = OP(*arguments)
    assert final.dtype == dtype
    torch.testing.assert_close(final, soft_nms_padded_reference(*arguments))


def test_what_does_not_fit_is_an_error():
    boxes = torch.zeros(1, 3, 4)
    with pytest.raises(ValueError, match=r"scores \(B, C, N\)"):
        soft_nms_padded(boxes, torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"differ: \(1, 3, 4\) and \(1, 1, 2\)"):
        soft_nms_padded(boxes, torch.zeros(1, 1, 2))
    with pytest.raises(ValueError, match="differ in dtype"):
        soft_nms_padded(boxes, torch.zeros(1, 1, 3).double())
    with pytest.raises(ValueError, match="not 'cubic'"):
        soft_nms_padded(boxes, torch.zeros(1, 1, 3), method="cubic")
    with pytest.raises(ValueError, match="0 or more, not -1"):
        soft_nms_padded(boxes, torch.zeros(1, 1, 3), score_threshold=-1)


def test_memory_formats_give_the_same():
    boxes, scores = random_boxes(5, 2, 40), torch.rand(2, 6, 40)
    found = soft_nms_padded(boxes, scores)
    turned = boxes.transpose(1, 2).contiguous().transpose(1, 2)
    by_box = scores.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(found, soft_nms_padded(turned, by_box))


@pytest.mark.parametrize("backend", ["aot_eager"])
@METHODS
def test_compiles_whole(backend, method):
    compiled = torch.compile(soft_nms_padded, backend=backend, fullgraph=True)
    boxes, scores = random_boxes(6, 3, 30), torch.rand(3, 2, 30)
    wanted = soft_nms_padded(boxes, scores, method=method)
    assert torch.equal(compiled(boxes, scores, method=method), wanted)
