"""psroi_align: the kernel equals the reference on whatever comes, and the reference is right."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import COORDINATES, LAYOUTS, random_features, random_rois, with_threads

from harness.ops import psroi_align
from harness.ops.psroi_reference import psroi_align_backward_reference, psroi_align_reference

OP = torch.ops.harness.psroi_align
REDUCES = ["max", "mean"]
# what the gradient of the op is compared with, whatever the version of torch
REFERENCE = pytest.param(psroi_align_reference, marks=pytest.mark.newest)


def assert_same(features, rois, scale, height, width, channels, ratio, reduce):
    """Output, argmax and gradient of the op and of the reference, the latter in both its ways."""
    results = []
    for forward in (OP, psroi_align_reference):
        leaf = features.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        output, argmax = forward(leaf, rois, scale, height, width, channels, ratio, reduce)
        weights = torch.arange(output.numel(), dtype=output.dtype).view_as(output).cos()
        (output * weights).sum().backward()
        results.append((output.detach(), argmax, leaf.grad))
    (output, argmax, gradient), (wanted, wanted_argmax, wanted_gradient) = results
    torch.testing.assert_close(output, wanted, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert torch.equal(argmax, wanted_argmax)
    torch.testing.assert_close(gradient, wanted_gradient, rtol=1e-4, atol=1e-5)
    written_out = psroi_align_backward_reference(
        weights, rois, wanted_argmax, list(features.shape), scale, ratio, reduce
    )
    torch.testing.assert_close(gradient, written_out, rtol=1e-4, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_kernel_equals_reference(data):
    draw = data.draw
    height, width, channels = (draw(st.integers(1, n)) for n in (4, 4, 3))
    batch, rows, columns = draw(st.integers(1, 2)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    image = st.sampled_from([0.0, 1.0, 0.5, -1.0, 2.0, math.nan, 1e30])
    count = draw(st.integers(0, 6))
    rois = [[draw(image), *(draw(COORDINATES) for _ in range(4))] for _ in range(count)]
    features = random_features(
        draw(st.integers(0, 99)), (batch, channels * height * width, rows, columns)
    )
    if draw(st.booleans()):
        features = features.relu()  # many ties at zero
    features = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](features)
    scale, ratio = draw(st.sampled_from([1.0, 0.25, 0.3])), draw(st.integers(-1, 3))
    boxes = torch.tensor(rois, dtype=torch.float32).view(-1, 5)
    reduce = draw(st.sampled_from(REDUCES))
    assert_same(features, boxes, scale, height, width, channels, ratio, reduce)


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("ratio", [0, 1, 2])
def test_many_rois(reduce, ratio):
    features = random_features(0, (2, 5 * 49, 12, 17))
    assert_same(features, random_rois(1, 60, 2, 140), 1 / 8, 7, 7, 5, ratio, reduce)


@pytest.mark.slow
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("forward", [OP, REFERENCE])
def test_gradcheck(forward, ratio, reduce):
    # Reads are linear in the features; distinct integers keep every maximum clear of a tie.
    values = torch.randperm(2 * 8 * 6 * 7, generator=torch.Generator().manual_seed(0))
    features = values.double().view(2, 8, 6, 7).requires_grad_()
    rois = random_rois(3, 5, 2, 14, torch.float64)

    def run(x):
        return forward(x, rois, 0.5, 2, 2, 2, ratio, reduce)[0]

    assert torch.autograd.gradcheck(run, (features,), eps=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("reduce", REDUCES)
def test_half_types_compute_in_float32(dtype, reduce):
    features = random_features(0, (1, 12, 8, 8)).to(dtype).requires_grad_()
    rois = random_rois(1, 9, 1, 16)
    output = psroi_align(features, rois, 0.5, 2, 3, 2, reduce)
    wanted = psroi_align(features.detach().float(), rois, 0.5, 2, 3, 2, reduce)
    assert output.dtype == dtype
    assert torch.equal(output, wanted.to(dtype))
    output.sum().backward()
    assert features.grad.dtype == dtype


def test_position_sensitive_channels():
    """Constant planes show which channel each cell reads."""
    features = torch.arange(2.0 * 3 * 2).view(1, 12, 1, 1).expand(1, 12, 5, 5)
    rois = torch.tensor([[0.0, 0, 0, 4, 4]])
    output = psroi_align(features, rois, 1.0, (3, 2), 2)
    assert torch.equal(output, torch.arange(12.0).view(1, 2, 3, 2))


def test_gradient_goes_to_the_first_of_equal_maxima():
    features = torch.ones(1, 1, 4, 4, requires_grad=True)
    psroi_align(features, torch.tensor([[0.0, 0, 0, 2, 2]]), 1.0, 1, 1, 2).sum().backward()
    wanted = torch.zeros(4, 4)
    wanted[:2, :2] = 0.25  # the point at (0.5, 0.5)
    assert torch.equal(features.grad[0, 0], wanted)


@pytest.mark.parametrize("forward", [OP, psroi_align_reference])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("place", range(5))
def test_a_number_that_is_not_finite_pools_to_zero(forward, bad, place):
    rois = torch.tensor([[0.0, 1, 1, 3, 3], [0.0, 1, 1, 3, 3]])
    rois[0, place] = bad
    features = torch.ones(1, 4, 5, 5, requires_grad=True)
    output, _ = forward(features, rois, 1.0, 2, 2, 1, 0, "max")
    assert output[0].eq(0).all()
    assert output[1].eq(1).all()
    output[0].sum().backward()
    assert features.grad.eq(0).all()


@pytest.mark.parametrize("image", [-1.0, 2.0, 1e9])
def test_a_batch_index_out_of_range_pools_to_zero(image):
    features = torch.ones(2, 4, 5, 5)
    assert psroi_align(features, torch.tensor([[image, 1, 1, 3, 3]]), 1.0, 2, 1).eq(0).all()


@pytest.mark.parametrize("forward", [OP, psroi_align_reference])
def test_nan_features_show(forward):
    features = torch.zeros(1, 1, 4, 4)
    features[0, 0, 1, 1] = math.nan
    rois = torch.tensor([[0.0, 0, 0, 3, 3]])
    assert forward(features, rois, 1.0, 1, 1, 1, 2, "max")[0].isnan().all()


@pytest.mark.parametrize("reduce", REDUCES)
def test_adaptive_grid_of_an_enormous_roi_takes_no_enormous_time(reduce):
    features = random_features(0, (1, 49, 9, 9)).abs() + 1
    rois = torch.tensor([[0.0, -5e5, -5e5, 5e5, 5e5], [0.0, 0, 0, 9e5, 9e5]])
    assert_same(features, rois, 1.0, 7, 7, 1, 0, reduce)
    pooled = psroi_align(features, rois, 1.0, 7, 1, 0, "max")
    assert pooled[0, 0, 3, 3] == features[0, 24].max() or pooled[0, 0, 3, 3] > 1


def test_no_rois_keep_the_graph():
    features = random_features(0, (1, 4, 3, 3)).requires_grad_()
    output = psroi_align(features, torch.zeros(0, 5), 1.0, 2, 1)
    assert output.shape == (0, 1, 2, 2)
    output.sum().backward()
    assert features.grad.eq(0).all()


def test_compiles_whole_with_dynamic_shapes():
    compiled = torch.compile(psroi_align, backend="aot_eager", fullgraph=True, dynamic=True)
    for count in (3, 5):
        features = random_features(count, (1, 8, 6 + count, 6)).requires_grad_()
        rois = random_rois(2, count, 1, 12)
        output = compiled(features, rois, 0.5, 2, 2)
        torch.testing.assert_close(output, psroi_align(features, rois, 0.5, 2, 2))
        output.sum().backward()


def test_threads_do_not_change_the_gradient():
    rois = random_rois(5, 300, 2, 100)

    def gradient():
        features = random_features(0, (2, 245, 13, 13)).requires_grad_()
        psroi_align(features, rois, 1 / 8, 7, 5).square().sum().backward()
        return features.grad

    first, *others = with_threads(gradient)
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize(
    ("features", "rois", "channels", "reduce", "message"),
    [
        ((1, 8, 4, 4), (2, 4), 2, "max", r"rois \(N, 5\)"),
        ((8, 4, 4), (2, 5), 2, "max", r"features must be"),
        ((1, 9, 4, 4), (2, 5), 2, "max", "2 x 2 x 2 channels, not 9"),
        ((1, 8, 0, 4), (2, 5), 2, "max", "empty"),
        ((1, 8, 4, 4), (2, 5), 2, "min", "'max' or 'mean', not 'min'"),
    ],
)
def test_what_does_not_fit_is_an_error(features, rois, channels, reduce, message):
    with pytest.raises(ValueError, match=message):
        psroi_align(torch.zeros(features), torch.zeros(rois), 1.0, 2, channels, 2, reduce)
