"""select_anchors and select_boxes: CPU kernels against the references, and what they promise."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import (
    SEEDS,
    assert_equal,
    draw_anchors,
    draw_kept,
    draw_scores,
    random_boxes,
    random_features,
)

from harness.ops import select_anchors, select_boxes
from harness.ops.select_anchors import select_anchors_reference
from harness.ops.select_boxes import select_boxes_reference

HALF_TYPES = (torch.float16, torch.bfloat16)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_select_anchors(data):
    dtypes = [torch.float32, torch.float64, *HALF_TYPES]
    arguments = draw_anchors(data.draw, rows=20, dtypes=dtypes)
    found = torch.ops.harness.select_anchors(*arguments)
    wanted = select_anchors_reference(*arguments)
    assert torch.equal(found[2], wanted[2])
    # the last bit of exp differs between libraries
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_select_boxes(data):
    generator = torch.Generator().manual_seed(data.draw(SEEDS))
    images, groups = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 4))
    size = data.draw(st.integers(1, 90))
    dtype = data.draw(st.sampled_from([torch.float32, *HALF_TYPES]))
    scores = draw_scores(generator, (images, size, groups), data.draw(st.integers(0, 2)))
    scores = scores.to(dtype).transpose(1, 2)
    boxes = random_boxes(1, images, size).to(dtype)[:, None].expand(-1, groups, -1, -1)
    kept = draw_kept(data.draw, generator, images, groups, size)
    limit = data.draw(st.one_of(st.integers(0, 10), st.sampled_from([64, 100, 300])))
    arguments = (boxes, scores, *kept, limit, data.draw(st.sampled_from([-math.inf, -1.0, 0.0])))
    assert_equal(torch.ops.harness.select_boxes(*arguments), select_boxes_reference(*arguments))


def test_of_equal_scores_the_first_come_first():
    scores = torch.tensor([[[0.5, 0.75, 0.5], [0.75, 0.5, 0.25]]])
    boxes = random_boxes(0, 2, 3)[None]
    chosen, best, groups, counts = select_boxes(boxes, scores, 4, 0.0)
    assert best.tolist() == [[0.75, 0.75, 0.5, 0.5]]
    assert groups.tolist() == [[0, 1, 0, 0]]
    assert torch.equal(chosen[0], boxes[0, [0, 1, 0, 0], [1, 0, 0, 2]])
    assert counts.tolist() == [4]


def test_nan_is_never_chosen():
    logits = torch.tensor([math.nan, 1.0, -math.inf]).view(1, 1, 1, 3)
    anchors = random_boxes(0, 1, 3)[0]
    boxes, scores, counts = select_anchors(
        [logits], [torch.zeros(1, 4, 1, 3)], anchors, 3, (99, 99), 1
    )
    assert counts.tolist() == [[2]]
    torch.testing.assert_close(scores[0, 0], torch.tensor([1.0, -math.inf, -math.inf]).sigmoid())
    there = torch.tensor([[1], [1], [0]])
    torch.testing.assert_close(boxes[0, 0], anchors[[1, 2, 2]] * there)


def test_what_does_not_fit_is_an_error():
    logits, deltas = [random_features(0, (1, 3, 2, 2))], [random_features(0, (1, 12, 2, 2))]
    anchors = random_boxes(0, 1, 12)[0]
    with pytest.raises(ValueError, match=r"\(12, 4\) float32"):
        select_anchors(logits, deltas, anchors[1:], 5, (9, 9), 1)
    with pytest.raises(ValueError, match=r"must be \(1, 12, 2, 2\)"):
        select_anchors(logits, logits, anchors, 5, (9, 9), 1)
    with pytest.raises(ValueError, match="one dtype"):
        select_anchors(logits, [deltas[0].double()], anchors, 5, (9, 9), 1)
    with pytest.raises(ValueError, match="levels need"):
        select_anchors([], [], anchors, 5, (9, 9), 1)
    boxes, scores = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match=r"scores \(B, G, N\)"):
        select_boxes(boxes, scores[0], 5, 0.0)
    with pytest.raises(ValueError, match="half types"):
        select_boxes(boxes.double(), scores.double(), 5, 0.0)
