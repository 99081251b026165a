import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import random_boxes

from harness.ops import nms_padded
from harness.ops.nms import nms_padded_reference

OP = torch.ops.harness.nms_padded
BOTH = pytest.mark.parametrize("nms", [OP, nms_padded_reference], ids=["op", "reference"])


@BOTH
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_equals_torchvision_group_by_group(nms, threshold):
    boxes = random_boxes(0, 3, 150)
    counts = torch.tensor([150, 60, 0])
    valid = torch.arange(150) < counts[:, None]
    keep = nms(boxes, valid, threshold)
    scores = torch.arange(150, 0, -1).float()
    for group, count in enumerate(counts.tolist()):
        wanted = torchvision.ops.nms(boxes[group, :count], scores[:count], threshold)
        assert keep[group].nonzero()[:, 0].tolist() == sorted(wanted.tolist())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_kernel_equals_reference(data):
    corner = st.one_of(
        st.integers(-3, 3).map(float), st.sampled_from([float("nan"), float("inf"), 1e38, -1e38])
    )
    groups, size = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 6))
    numbers = data.draw(st.lists(corner, min_size=groups * size * 4, max_size=groups * size * 4))
    flags = data.draw(st.lists(st.booleans(), min_size=groups * size, max_size=groups * size))
    boxes = torch.tensor(numbers).view(groups, size, 4)
    valid = torch.tensor(flags, dtype=torch.bool).view(groups, size)
    threshold = data.draw(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]))
    assert torch.equal(OP(boxes, valid, threshold), nms_padded_reference(boxes, valid, threshold))


@BOTH
def test_an_iou_equal_to_the_threshold_stays(nms):
    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 2], [0, 0, 4, 4]]])
    assert nms(boxes, torch.ones(1, 3, dtype=torch.bool), 0.5).tolist() == [[True, True, False]]


@BOTH
def test_a_suppressed_box_suppresses_nothing(nms):
    boxes = torch.tensor([[[0.0, 0, 10, 1], [4, 0, 14, 1], [8, 0, 18, 1]]])
    assert nms(boxes, torch.ones(1, 3, dtype=torch.bool), 0.3).tolist() == [[True, False, True]]


def test_counts_are_a_shorthand_for_valid():
    boxes = random_boxes(1, 2, 20)
    counts = torch.tensor([5, 20])
    valid = torch.arange(20) < counts[:, None]
    assert torch.equal(nms_padded(boxes, counts, 0.5), nms_padded(boxes, valid, 0.5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype):
    boxes = random_boxes(2, 2, 60).to(dtype)
    valid = torch.ones(2, 60, dtype=torch.bool)
    assert torch.equal(OP(boxes, valid, 0.5), nms_padded_reference(boxes, valid, 0.5))


def test_strided_inputs():
    boxes = random_boxes(3, 40, 2).transpose(0, 1)
    valid = torch.ones(40, 2, dtype=torch.bool).t()
    assert torch.equal(OP(boxes, valid, 0.5), OP(boxes.contiguous(), valid.contiguous(), 0.5))


def test_opcheck():
    torch.library.opcheck(OP, (random_boxes(0, 2, 9), torch.ones(2, 9, dtype=torch.bool), 0.5))


@pytest.mark.parametrize(
    ("boxes", "valid"),
    [((3, 4), torch.ones(3)), ((1, 3, 4), torch.ones(1, 3)), ((1, 3, 4), torch.ones(2).bool())],
)
def test_what_does_not_fit_is_an_error(boxes, valid):
    with pytest.raises(ValueError, match="must be"):
        nms_padded(torch.zeros(boxes), valid, 0.5)
