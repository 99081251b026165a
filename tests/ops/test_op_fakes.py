"""What an op's fake promises is what kernels and references give: sizes, strides, dtypes."""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import (
    DEVICES,
    random_boxes,
    random_features,
    random_image,
    random_rois,
    resampling_case,
    separable_case,
)
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

import harness.ops
from harness.ops.psroi_reference import accumulate_dtype
from harness.ops.registration import REGISTERED

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def expanded(x: Tensor) -> Tensor:
    """The first image for all."""
    return x[:1].expand(len(x), *x.shape[1:])


def sliced(x: Tensor) -> Tensor:
    """A part of something larger, along the second dimension."""
    return torch.cat([x, x], 1)[:, : x.shape[1]]


def turned(x: Tensor) -> Tensor:
    """The second dimension innermost in memory: channels last, for maps."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": Tensor.contiguous,
    "expanded": expanded,
    "sliced": sliced,
    "turned": turned,
}
Layout = Callable[[Tensor], Tensor]
Arguments = tuple[object, ...]


def pooling(dtype: torch.dtype, lay: Layout, reduce: str) -> tuple[Arguments, Arguments]:
    """Those of psroi_align and of its backward."""
    features = lay(random_features(0, (2, 8, 5, 6)).to(dtype))
    rois = random_rois(1, 3, 2, 12, accumulate_dtype(dtype))
    forward = (features, rois, 0.5, 2, 2, 2, 2, reduce)
    output, argmax = torch.ops.harness.psroi_align(*forward)
    gradient = lay(torch.ones_like(output))
    return forward, (gradient, rois, argmax, [2, 8, 5, 6], 0.5, 2, reduce)


def multilevel(dtype: torch.dtype, lay: Layout, reduce: str) -> tuple[Arguments, Arguments]:
    maps = [lay(random_features(k, (2, 8, 6 - k, 5)).to(dtype)) for k in range(2)]
    boxes = random_boxes(0, 2, 3, accumulate_dtype(dtype)) / 4
    rule = ([4, 8], 20.0, True)
    forward = (maps, boxes, *rule, 2, 2, 2, 2, reduce)
    output, argmax = torch.ops.harness.psroi_align_multilevel(*forward)
    gradient, last = lay(torch.ones_like(output)), lay is turned
    return forward, (gradient, boxes, argmax, [6, 5, 5, 5], *rule, 2, reduce, last)


def arguments_of(name: str, dtype: torch.dtype, lay: Layout) -> Iterator[Arguments]:
    boxes = lay(random_boxes(0, 2, 7).to(dtype))
    scores = torch.rand(2, 3, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    counts = torch.tensor([7, 3])
    if name.startswith("psroi_align"):
        make = multilevel if "multilevel" in name else pooling
        for reduce in ("max", "mean"):
            yield make(dtype, lay, reduce)[name.endswith("backward")]
    elif name == "nms_padded":
        yield boxes, lay(scores[:, 0] > 0.3), 0.5, 4
        for limit in (0, 4, 12):
            yield boxes, counts, 0.5, limit
    elif name == "soft_nms_padded":
        for method in ("linear", "gaussian"):
            yield boxes, lay(scores), counts, 0.1, 0.5, 0.01, method, 0.5
        yield boxes, lay(scores), None, 0.0, 0.5, 0.01, "linear", 0.5
    elif name == "select_boxes":
        if dtype == torch.float64:
            return  # its keys have 32 bits
        shared = boxes[:, None].expand(-1, 3, -1, -1)
        kept = lay(torch.arange(4).expand(2, 3, 4).contiguous())
        yield shared, lay(scores), None, None, 5, 0.1
        yield shared, lay(scores), kept, torch.tensor([[4, 0, 2], [1, 2, 3]]), 5, -1.0
    elif name == "select_anchors":
        logits = [lay(random_features(k, (2, 3, 4, 5 - k)).to(dtype)) for k in range(2)]
        deltas = [lay(random_features(k, (2, 12, 4, 5 - k)).to(dtype)) for k in range(2)]
        yield logits, deltas, random_boxes(1, 1, 108)[0], 9, 1.5, 40, 50, 1.0
    elif name == "separable_conv":
        case = separable_case(0, 20, (4, 1), ((5, 6), (3, 2)), 2, dtype)
        maps = [x if lay is Tensor.contiguous else turned(lay(x)) for x in case[0]]
        for relu in (False, True):
            yield maps, *case[1:], 24, relu
    elif name == "average_fours":
        for framed in (False, True):
            yield turned(lay(random_features(0, (2, 8, 5, 6)).to(dtype))), framed
    elif name == "resize_bilinear":
        for interleaved in (False, True):
            yield lay(random_image(0, 9, 14)[None])[0], 7, 11, interleaved
    elif name == "resampled_ap":
        for seed in range(2):
            yield resampling_case(seed)
    else:
        raise AssertionError(f"{name} has no arguments here")


def promised(result: object) -> list[tuple[object, ...]]:
    return [
        (tuple(x.shape), x.stride(), x.dtype, x.device.type)
        for x in tree_leaves(result)
        if isinstance(x, Tensor)
    ]


def moved(arguments: Arguments, device: str) -> Arguments:
    """In the same memory format."""
    move = lambda x: x.to(device) if isinstance(x, Tensor) else x  # noqa: E731
    return tree_map(move, arguments)


def test_every_op_is_here() -> None:
    assert set(harness.ops.__all__) & set(REGISTERED)
    for name in REGISTERED:
        assert any(True for _ in arguments_of(name, torch.float32, Tensor.contiguous))


@DEVICES
@pytest.mark.parametrize("name", sorted(REGISTERED))
@settings(max_examples=16, deadline=None)
@given(dtype=st.sampled_from(DTYPES), layout=st.sampled_from(sorted(LAYOUTS)))
def test_fake_kernel_and_reference_agree(
    name: str, device: str, dtype: torch.dtype, layout: str
) -> None:
    op = getattr(torch.ops.harness, name).default
    for given_arguments in arguments_of(name, dtype, LAYOUTS[layout]):
        arguments = moved(given_arguments, device)
        wanted = promised(op(*arguments))
        assert promised(REGISTERED[name].reference(*arguments)) == wanted
        assert promised(REGISTERED[name].fake(*arguments)) == wanted


@pytest.mark.slow
@DEVICES
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("name", sorted(REGISTERED))
def test_opcheck(name: str, layout: str, device: str) -> None:
    op = getattr(torch.ops.harness, name).default
    for given_arguments in arguments_of(name, torch.float32, LAYOUTS[layout]):
        first, *others = moved(given_arguments, device)
        if f"{name}_backward" in REGISTERED or name == "average_fours":
            first = tree_map(lambda x: x.detach().requires_grad_(), first)
        torch.library.opcheck(op, (first, *others))
