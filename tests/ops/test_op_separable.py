"""`separable_conv` against two convolutions of torch."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from harness.ops import map_of_rows, pack_separable, separable_conv, status
from harness.ops.separable import separable_conv_reference

FORMATS = (torch.contiguous_format, torch.channels_last)


def make_layers(seed: int, channels: int, groups: int, dtype: torch.dtype) -> list[nn.Conv2d]:
    torch.manual_seed(seed)
    depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
    return [depthwise.to(dtype), nn.Conv2d(channels, channels, 1, groups=groups).to(dtype)]


def apply_layers(layers: list[nn.Conv2d], x: Tensor, relu: bool) -> Tensor:
    """Rows (B, H * W, C)."""
    found = layers[1](layers[0](x)).flatten(2).transpose(1, 2)
    return F.relu(found) if relu else found


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_it_equals_two_convolutions(data):
    """In float64, where only the order of sums differs; groups of all sizes and any map."""
    draw = data.draw
    side, groups = draw(
        st.sampled_from([(1, 3), (5, 49), (5, 7), (3, 9), (35, 2), (49, 1), (8, 4)])
    )
    channels, batch = side * groups, draw(st.integers(1, 3))
    maps, weights, wanted = [], [], []
    relu = draw(st.booleans())
    for level in range(draw(st.integers(1, 4))):
        size = (batch, channels, draw(st.integers(1, 19)), draw(st.integers(1, 19)))
        x = torch.randn(size, generator=torch.Generator().manual_seed(level), dtype=torch.float64)
        layers = make_layers(level, channels, draw(st.sampled_from([groups, 1])), torch.float64)
        maps.append(x.to(memory_format=draw(st.sampled_from(FORMATS))))
        weights.append(pack_separable(*layers))
        wanted.append(apply_layers(layers, x, relu))
    padded = channels + draw(st.integers(0, 9))
    rows = separable_conv(maps, weights, padded, relu)
    assert rows.shape[2] == padded
    torch.testing.assert_close(rows[..., :channels], torch.cat(wanted, 1), rtol=1e-12, atol=1e-12)
    assert not rows[..., channels:].any()


@pytest.mark.parametrize("groups", [49, 7, 5, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_sizes_of_tinydet(groups, dtype):
    """Half types are read as they are, computed in float32 and rounded once."""
    layers = make_layers(0, 245, groups, torch.float32)
    x = torch.randn(2, 245, 20, 20, generator=torch.Generator().manual_seed(1)).to(dtype)
    rows = separable_conv([x], [pack_separable(*layers)], 248)
    wanted = apply_layers([layer.double() for layer in layers], x.double(), False)
    assert rows.dtype == dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(rows[..., :245].double(), wanted, rtol=eps, atol=64 * 2**-23)


def test_views_with_more_channels_are_read_as_they_are():
    layers, wide = make_layers(0, 10, 2, torch.float32), torch.randn(2, 16, 7, 9)
    wide = wide.contiguous(memory_format=torch.channels_last)
    rows = separable_conv([wide[:, :10]], [pack_separable(*layers)])
    torch.testing.assert_close(rows, apply_layers(layers, wide[:, :10], False))


def test_rows_turn_back_into_maps_without_a_copy():
    layers = make_layers(0, 10, 2, torch.float32)
    maps = [torch.randn(2, 10, 6, 4), torch.randn(2, 10, 3, 2)]
    rows = separable_conv(maps, [pack_separable(*layers)] * 2)
    for first, x in ((0, maps[0]), (24, maps[1])):
        found = map_of_rows(rows, first, x.shape[2:])
        torch.testing.assert_close(found, layers[1](layers[0](x)))
        assert found.untyped_storage().data_ptr() == rows.untyped_storage().data_ptr()


def test_what_is_not_a_number_shows():
    layers, x = make_layers(0, 10, 2, torch.float32), torch.zeros(1, 10, 5, 5)
    x[0, 3, 2, 2] = torch.nan
    rows = separable_conv([x], [pack_separable(*layers)], relu=True)
    wanted = apply_layers(layers, x, True)
    assert wanted.isnan().any()
    assert rows.isnan()[wanted.isnan()].all()
    assert torch.equal(rows.isnan().any(2), wanted.isnan().any(2))  # no other cell


def test_op_and_reference_give_the_same_rows_and_strides():
    layers = make_layers(0, 20, 4, torch.float32)
    maps = [torch.randn(2, 20, n, 5).to(memory_format=torch.channels_last) for n in (4, 2)]
    w = pack_separable(*layers)
    columns = [[tensor] * 2 for tensor in vars(w).values()]
    found = torch.ops.harness.separable_conv(maps, *columns, 24, True)
    wanted = separable_conv_reference(maps, *columns, 24, True)
    torch.testing.assert_close(found, wanted)
    assert found.stride() == wanted.stride()


@pytest.mark.parametrize(
    "layer",
    [
        {"stride": 2},
        {"padding": 0},
        {"dilation": 2, "padding": 2},
        {"padding_mode": "reflect"},
        {"groups": 1},
    ],
)
def test_other_convolutions_are_refused(layer):
    depthwise = nn.Conv2d(4, 4, 3, **{"padding": 1, "groups": 4, **layer})
    with pytest.raises(ValueError, match="not a separable"):
        pack_separable(depthwise, nn.Conv2d(4, 4, 1))


def test_what_does_not_fit_is_refused():
    w, x = pack_separable(*make_layers(0, 10, 2, torch.float32)), torch.randn(1, 10, 4, 4)
    for arguments in (
        ([], []),
        ([x], [w, w]),
        ([x[:, :9]], [w]),
        ([x, x[:, :, :, :, None]], [w, w]),
    ):
        with pytest.raises(ValueError, match=r"maps|channels"):
            separable_conv(*arguments)
    with pytest.raises(ValueError, match="out_channels"):
        separable_conv([x], [w], 9)
    if status().compiled:
        half = [t.half() for t in vars(w).values()]
        laid_out = x.contiguous(memory_format=torch.channels_last)
        with pytest.raises(RuntimeError, match="float32"):
            torch.ops.harness.separable_conv([laid_out], *([t] for t in half), 10, False)
