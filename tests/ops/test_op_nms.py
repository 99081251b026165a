import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import assert_equal, grid_boxes, random_boxes, with_threads

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
    indices, counts_kept = nms(boxes, valid, threshold, 150)
    scores = torch.arange(150, 0, -1).float()
    for group, count in enumerate(counts.tolist()):
        wanted = torchvision.ops.nms(boxes[group, :count], scores[:count], threshold)
        kept = indices[group, : counts_kept[group]]
        assert kept.tolist() == sorted(wanted.tolist())
        assert not indices[group, counts_kept[group] :].any()


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
    arguments = (boxes, valid, threshold, data.draw(st.integers(0, 8)))
    assert_equal(OP(*arguments), nms_padded_reference(*arguments))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_kernel_equals_reference_on_many_boxes(data):
    """Tens of kept boxes, many of them with equal IoUs or on top of each other."""
    groups, size = data.draw(st.integers(1, 4)), data.draw(st.integers(20, 150))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    boxes = grid_boxes(generator, groups, size, data.draw(st.integers(2, 30)))
    valid = torch.rand((groups, size), generator=generator) < data.draw(st.floats(0, 1))
    threshold = data.draw(st.sampled_from([0.0, 1 / 3, 0.5, 2 / 3, 0.7]))
    arguments = (boxes, valid, threshold, data.draw(st.integers(1, size + 5)))
    assert_equal(OP(*arguments), nms_padded_reference(*arguments))


@BOTH
def test_the_first_of_the_kept_boxes(nms):
    boxes, valid = random_boxes(4, 3, 90), torch.rand(3, 90) < 0.8
    every, counts = nms(boxes, valid, 0.4, 90)
    assert counts.min() > 8
    some, limited = nms(boxes, valid, 0.4, 8)
    assert torch.equal(some, every[:, :8])
    assert limited.tolist() == [8, 8, 8]
    more, same = nms(boxes, valid, 0.4, 100)
    assert torch.equal(same, counts)
    assert torch.equal(more, torch.nn.functional.pad(every, (0, 10)))


@BOTH
def test_an_iou_equal_to_the_threshold_stays(nms):
    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 2], [0, 0, 4, 4]]])
    kept, counts = nms(boxes, torch.ones(1, 3, dtype=torch.bool), 0.5, 3)
    assert (kept.tolist(), counts.tolist()) == ([[0, 1, 0]], [2])


@BOTH
def test_a_suppressed_box_suppresses_nothing(nms):
    boxes = torch.tensor([[[0.0, 0, 10, 1], [4, 0, 14, 1], [8, 0, 18, 1]]])
    kept, counts = nms(boxes, torch.ones(1, 3, dtype=torch.bool), 0.3, 3)
    assert (kept.tolist(), counts.tolist()) == ([[0, 2, 0]], [2])


def test_counts_are_a_shorthand_for_valid():
    boxes = random_boxes(1, 2, 20)
    counts = torch.tensor([5, 20])
    valid = torch.arange(20) < counts[:, None]
    assert_equal(nms_padded(boxes, counts, 0.5), nms_padded(boxes, valid, 0.5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype):
    boxes = random_boxes(2, 2, 60).to(dtype)
    valid = torch.ones(2, 60, dtype=torch.bool)
    assert_equal(OP(boxes, valid, 0.5, 60), nms_padded_reference(boxes, valid, 0.5, 60))


def test_strided_inputs():
    boxes = random_boxes(3, 40, 2).transpose(0, 1)
    valid = torch.ones(40, 2, dtype=torch.bool).t()
    expanded = boxes[:1].expand(2, -1, -1)
    for strided in (boxes, expanded):
        arguments = (strided.contiguous(), valid.contiguous(), 0.5, 40)
        assert_equal(OP(strided, valid, 0.5, 40), OP(*arguments))


def test_threads_do_not_change_the_result():
    boxes, counts = random_boxes(6, 7, 400), torch.tensor([400, 3, 0, 399, 50, 400, 200])
    results = with_threads(lambda: nms_padded(boxes, counts, 0.4, 100))
    for other in results[1:]:
        assert_equal(results[0], other)


@pytest.mark.parametrize("backend", ["aot_eager"])
def test_compiles_whole(backend):
    compiled = torch.compile(nms_padded, backend=backend, fullgraph=True)
    boxes, counts = random_boxes(7, 3, 50), torch.tensor([50, 0, 20])
    for limit in (None, 10):
        wanted = nms_padded(boxes, counts, 0.5, limit)
        assert_equal(compiled(boxes, counts, 0.5, limit), wanted)


@pytest.mark.parametrize(
    ("boxes", "valid"),
    [((3, 4), torch.ones(3)), ((1, 3, 4), torch.ones(1, 3)), ((1, 3, 4), torch.ones(2).bool())],
)
def test_what_does_not_fit_is_an_error(boxes, valid):
    with pytest.raises(ValueError, match="must be"):
        nms_padded(torch.zeros(boxes), valid, 0.5)


def test_a_negative_number_is_an_error():
    with pytest.raises(ValueError, match="0 or more"):
        nms_padded(torch.zeros(1, 3, 4), torch.tensor([3]), 0.5, -1)
