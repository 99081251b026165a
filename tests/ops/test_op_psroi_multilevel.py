"""psroi_align_multilevel: equal to the single-level op on each box's map, and to its reference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import (
    LAYOUTS,
    assert_equal,
    draw_pyramid,
    random_boxes,
    random_features,
    with_threads,
)

from harness.ops import psroi_align, psroi_align_multilevel
from harness.ops.boxes import assign_levels, make_rois
from harness.ops.psroi_multilevel import (
    psroi_align_multilevel_backward_reference,
    psroi_align_multilevel_reference,
)

OP = torch.ops.harness.psroi_align_multilevel
BACKWARD = torch.ops.harness.psroi_align_multilevel_backward
REDUCES = pytest.mark.parametrize("reduce", ["max", "mean"])
# what the gradients of the op are compared with, whatever the version of torch
REFERENCE = pytest.param(psroi_align_multilevel_reference, marks=pytest.mark.newest)


def random_maps(seed: int, batch: int, channels: int, sizes, dtype=torch.float32):
    return [
        random_features(seed + i, (batch, channels, *size), dtype) for i, size in enumerate(sizes)
    ]


def random_pyramid_boxes(seed: int, batch: int, count: int, side: float, dtype=torch.float32):
    """Boxes of all sizes, in the image and across its edge, each fourth without area."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand((batch, count, 2), generator=generator, dtype=dtype) * side * 1.2 - side * 0.2
    sides = torch.rand((batch, count, 2), generator=generator, dtype=dtype) ** 2 * side
    boxes = torch.cat([low, low + sides], -1)
    boxes[:, 3::4] = 0
    return boxes


def as_leaves(maps):
    return [x.detach().clone(memory_format=torch.preserve_format).requires_grad_() for x in maps]


def weigh(output):
    return torch.arange(output.numel(), dtype=output.dtype).view_as(output).cos()


def assert_same(maps, boxes, *arguments):
    """Output, argmax and gradients of the op and of the reference, the latter in both its ways."""
    results = []
    for forward in (OP, psroi_align_multilevel_reference):
        leaves = as_leaves(maps)
        output, argmax = forward(leaves, boxes, *arguments)
        (output * weigh(output)).sum().backward()
        results.append((output.detach(), argmax, [leaf.grad for leaf in leaves]))
    (output, argmax, gradients), (wanted, wanted_argmax, wanted_gradients) = results
    torch.testing.assert_close(output, wanted, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert argmax.dtype == torch.int32
    assert torch.equal(argmax, wanted_argmax)
    torch.testing.assert_close(gradients, wanted_gradients, rtol=1e-4, atol=1e-5)
    sizes = [size for x in maps for size in x.shape[2:]]
    strides, finest, inclusive, *_, ratio, reduce = arguments
    written_out = psroi_align_multilevel_backward_reference(
        weigh(output), boxes, wanted_argmax, sizes, strides, finest, inclusive, ratio, reduce
    )
    torch.testing.assert_close(gradients, written_out, rtol=1e-4, atol=1e-5)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_kernel_equals_reference(data):
    layout = data.draw(st.sampled_from(sorted(LAYOUTS)))
    maps, boxes, rule = draw_pyramid(data.draw, layout)
    if data.draw(st.booleans()):
        maps = [x.relu() for x in maps]  # many ties at zero
    assert_same(maps, boxes, *rule)


@REDUCES
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_the_single_level_op_bit_for_bit(reduce, ratio, layout):
    """300 boxes are more than the kernel takes at a time; gradients included."""
    maps = [
        x.to(memory_format=layout) for x in random_maps(0, 2, 245, [(40, 44), (20, 22), (10, 11)])
    ]
    boxes, strides = random_pyramid_boxes(1, 2, 300, 160), (4, 8, 16)
    leaves, singles = as_leaves(maps), as_leaves(maps)
    output = psroi_align_multilevel(leaves, boxes, strides, 22.4, 7, 5, ratio, reduce, True)
    rois, levels = make_rois(boxes, True), assign_levels(boxes, 22.4, 3).flatten()
    assert set(levels.tolist()) == {-1, 0, 1, 2}
    wanted = torch.zeros_like(output)
    for level, stride in enumerate(strides):
        mine = levels == level
        wanted[mine] = psroi_align(singles[level], rois[mine], 1 / stride, 7, 5, ratio, reduce)
    assert torch.equal(output, wanted)
    assert not output[levels == -1].any()
    for result in (output, wanted):
        (result * weigh(result)).sum().backward()
    for leaf, single in zip(leaves, singles, strict=True):
        assert torch.equal(leaf.grad, single.grad)


def squares_around(area: float, count: int) -> torch.Tensor:
    """Boxes of width 1 whose areas are the float32 numbers next to `area`."""
    bits = np.array([area], np.float32).view(np.int32) + np.arange(-count, count + 1, dtype="i4")
    heights = torch.from_numpy(bits.view(np.float32))
    zeros = torch.zeros_like(heights)
    return torch.stack([zeros, zeros, torch.ones_like(heights), heights], -1)[None]


@pytest.mark.parametrize("finest", [22.4, 30.0, 35.8, 7.0])
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_levels_agree_on_every_float_next_to_a_boundary(finest, level):
    """Maps of one number each show which of them the kernel reads."""
    boundary = ((2.0**level - 1e-6) * finest) ** 2
    boxes = squares_around(boundary, 300)
    levels = assign_levels(boxes, finest, 5)
    assert set(levels.flatten().tolist()) == {level - 1, level}
    maps = [torch.full((1, 1, 64, 64), float(k + 1)) for k in range(5)]
    strides = [2 ** (k + 11) for k in range(5)]
    pooled = psroi_align_multilevel(maps, boxes, strides, finest, 1, 1, 1)
    assert torch.equal(pooled.flatten().round().long() - 1, levels.flatten())


def test_the_rule_is_the_logarithms_away_from_a_boundary():
    generator = torch.Generator().manual_seed(0)
    areas = torch.rand(200_000, generator=generator, dtype=torch.float64) ** 3 * 400_000
    found = assign_levels(torch.stack([areas * 0, areas * 0, areas, areas * 0 + 1], -1), 22.4, 5)
    rule = torch.floor(torch.log2(areas.sqrt() / 22.4 + 1e-6)).clamp(0, 4).long()
    assert torch.equal(found, rule)
    assert set(found.tolist()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("finest", [22.4, 30.0, 35.8])
def test_boxes_of_whole_pixels_have_the_level_of_the_logarithm_in_float32(finest):
    """What annotations and clipped proposals give, squares of a doubled scale among them."""
    sides = torch.arange(1.0, 641)
    width, height = torch.meshgrid(sides, sides, indexing="ij")
    boxes = torch.stack([width * 0, width * 0, width, height], -1)
    logarithm = torch.log2((width * height).sqrt() / finest + 1e-6)
    assert torch.equal(assign_levels(boxes, finest, 5), logarithm.floor().clamp(0, 4).long())


@pytest.mark.slow
@REDUCES
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("forward", [OP, REFERENCE])
def test_gradcheck(forward, ratio, reduce):
    # Reads are linear in the maps; distinct integers keep every maximum clear of a tie.
    order = torch.randperm(2 * 8 * (20 + 6), generator=torch.Generator().manual_seed(0)).double()
    fine, coarse = order.split([2 * 8 * 20, 2 * 8 * 6])
    maps = [fine.view(2, 8, 4, 5).requires_grad_(), coarse.view(2, 8, 2, 3).requires_grad_()]
    boxes = random_pyramid_boxes(3, 2, 5, 24, torch.float64)
    assert set(assign_levels(boxes, 3.0, 2).flatten().tolist()) == {-1, 0, 1}

    def run(*maps):
        return forward(list(maps), boxes, [2, 4], 3.0, False, 2, 2, 2, ratio, reduce)[0]

    assert torch.autograd.gradcheck(run, tuple(maps), eps=1e-3)


def test_gradients_have_the_memory_format_of_the_maps():
    """On the reference as well, which serves where the order of sums must not vary."""
    maps = random_maps(0, 2, 12, [(6, 7), (3, 4)])
    boxes = random_pyramid_boxes(1, 2, 4, 24)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        leaves = as_leaves([x.to(memory_format=layout) for x in maps])
        output, argmax = OP(leaves, boxes, [4, 8], 9.0, True, 2, 2, 3, 2, "max")
        told = ([6, 7, 3, 4], [4, 8], 9.0, True, 2, "max", layout == torch.channels_last)
        for backward in (BACKWARD, psroi_align_multilevel_backward_reference):
            gradients = backward(weigh(output), boxes, argmax, *told)
            assert all(x.is_contiguous(memory_format=layout) for x in gradients)
            found.append(gradients)
        gradients = torch.autograd.grad((output * weigh(output)).sum(), leaves)
        assert all(x.is_contiguous(memory_format=layout) for x in gradients)
        found.append(gradients)
    for gradients in found[1:]:
        torch.testing.assert_close(list(gradients), list(found[0]))


@REDUCES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_compute_in_float32(dtype, reduce):
    maps = [x.to(dtype).requires_grad_() for x in random_maps(0, 1, 12, [(8, 8), (4, 4)])]
    boxes = random_pyramid_boxes(1, 1, 9, 32)
    output = psroi_align_multilevel(maps, boxes, (4, 8), 10, 2, 3, 2, reduce)
    exact = [x.detach().float() for x in maps]
    wanted = psroi_align_multilevel(exact, boxes, (4, 8), 10, 2, 3, 2, reduce)
    assert output.dtype == dtype
    assert torch.equal(output, wanted.to(dtype))
    output.sum().backward()
    assert all(x.grad.dtype == dtype for x in maps)


def test_threads_do_not_change_the_result():
    boxes = random_pyramid_boxes(5, 2, 200, 100)

    def run():
        maps = as_leaves(random_maps(0, 2, 245, [(13, 13), (7, 7)]))
        output = psroi_align_multilevel(maps, boxes, (8, 16), 30, 7, 5)
        output.square().sum().backward()
        return [output.detach(), *(x.grad for x in maps)]

    first, *others = with_threads(run)
    for other in others:
        assert_equal(first, other)


def test_compiles_whole_with_a_symbolic_batch():
    compiled = torch.compile(
        psroi_align_multilevel, backend="aot_eager", fullgraph=True, dynamic=True
    )
    for batch in (2, 3, 4):
        maps = as_leaves(random_maps(batch, batch, 8, [(6 + batch, 6), (3, 4)]))
        boxes = random_pyramid_boxes(2, batch, 3 + batch, 24)
        output = compiled(maps, boxes, (4, 8), 9.0, 2, 2)
        wanted = psroi_align_multilevel(maps, boxes, (4, 8), 9.0, 2, 2)
        assert torch.equal(output, wanted)
        gradients, wanted = (torch.autograd.grad(x.square().sum(), maps) for x in (output, wanted))
        assert all(torch.equal(*pair) for pair in zip(gradients, wanted, strict=True))
        assert gradients[0].any()


@pytest.mark.parametrize("shape", [(2, 0, 4), (0, 3, 4)])
def test_nothing_to_pool_keeps_the_graph(shape):
    maps = as_leaves(random_maps(0, shape[0], 4, [(3, 3), (2, 2)]))
    output = psroi_align_multilevel(maps, torch.zeros(shape), (4, 8), 9, 2, 1)
    assert output.shape == (0, 1, 2, 2)
    output.sum().backward()
    assert all(not x.grad.any() for x in maps)


def test_a_map_without_boxes_gets_a_zero_gradient():
    maps = as_leaves(random_maps(0, 1, 4, [(9, 9), (5, 5)]))
    boxes = torch.tensor([[[2.0, 2, 9, 9]]])
    psroi_align_multilevel(maps, boxes, (4, 8), 30, 2, 1).sum().backward()
    assert maps[0].grad.any()
    assert not maps[1].grad.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strides": (4,)}, "need a positive stride each, not 2 maps with strides"),
        ({"strides": (4, 0)}, "positive stride"),
        ({"maps": [], "strides": ()}, "one to 8 maps"),
        ({"boxes": torch.zeros(2, 4)}, r"boxes must be \(B, P, 4\)"),
        ({"boxes": torch.zeros(3, 2, 4)}, r"maps must be \(3, 8, H, W\)"),
        ({"maps": [torch.zeros(1, 8, 4, 4), torch.zeros(1, 9, 2, 2)]}, r"\(1, 8, H, W\), not"),
        ({"maps": [torch.zeros(1, 8, 4, 4), torch.zeros(1, 8, 0, 2)]}, "a map is empty"),
        ({"maps": [torch.zeros(1, 8, 4, 4), torch.zeros(1, 8, 2, 2).double()]}, "one dtype"),
        ({"reduce": "min"}, "'max' or 'mean', not 'min'"),
        ({"sampling_ratio": 2**15 + 1}, "in range"),
    ],
)
def test_what_does_not_fit_is_an_error(change, message):
    arguments = {
        "maps": [torch.zeros(1, 8, 4, 4), torch.zeros(1, 8, 2, 2)],
        "boxes": torch.zeros(1, 2, 4),
        "strides": (4, 8),
        "finest_scale": 9.0,
        "pooled_size": 2,
        "output_channels": 2,
    }
    with pytest.raises(ValueError, match=message):
        psroi_align_multilevel(**{**arguments, **change})


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_maps_may_have_more_channels_than_are_read(layout):
    """A view of them is pooled where it lies, and the gradient of the others is zero."""
    wide = [random_features(k, (2, 11, 9 - k, 8)).to(memory_format=layout) for k in range(2)]
    boxes = random_boxes(0, 2, 5)
    rule = ([4, 8], 20.0, 2, 2)
    views = [x.clone(memory_format=torch.preserve_format).requires_grad_() for x in wide]
    copies = [x[:, :8].contiguous().requires_grad_() for x in wide]
    found = psroi_align_multilevel([x[:, :8] for x in views], boxes, *rule)
    wanted = psroi_align_multilevel(copies, boxes, *rule)
    assert torch.equal(found, wanted)
    for pooled in (found, wanted):
        (pooled * torch.arange(pooled.numel()).view_as(pooled).cos()).sum().backward()
    for view, copy in zip(views, copies, strict=True):
        assert torch.equal(view.grad[:, :8], copy.grad)
        assert not view.grad[:, 8:].any()
