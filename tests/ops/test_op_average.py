"""Means of 2x2 neighbours: torch's own pool, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from op_cases import DEVICES, random_features

from harness.ops import average_fours

SIZES = [(2, 2), (2, 7), (9, 5)]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@DEVICES
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 16])  # one by one and in vectors
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_equals_the_pool_and_its_gradient(device, size, layout, channels, dtype):
    maps = random_features(0, (2, channels, *size)).to(device, dtype).to(memory_format=layout)
    ours, theirs = (maps.clone().requires_grad_() for _ in range(2))
    found, wanted = average_fours(ours), F.avg_pool2d(theirs, 2, stride=1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0 if dtype is torch.float32 else 1e-3)
    assert found.permute(0, 2, 3, 1).is_contiguous()
    weights = torch.linspace(-1, 1, found.numel(), device=device).view_as(found).to(dtype)
    gradients = [
        torch.autograd.grad(y, x, weights)[0] for y, x in ((found, ours), (wanted, theirs))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6 if dtype is torch.float32 else 2e-3)


def test_a_gradient_may_be_expanded_and_has_a_gradient():
    maps = random_features(0, (1, 2, 4, 3)).double().requires_grad_()
    average_fours(maps).sum().backward()
    assert torch.equal(maps.grad[0, 0, 1:3, 1], torch.ones(2, dtype=torch.float64))
    assert torch.equal(maps.grad[0, 0, 0, ::2], torch.full((2,), 0.25, dtype=torch.float64))
    assert torch.autograd.gradcheck(average_fours, maps)
    assert torch.autograd.gradgradcheck(average_fours, maps)


@pytest.mark.parametrize("maps", [torch.ones(1, 2, 1, 5), torch.ones(2, 5, 5)])
def test_maps_without_two_rows_are_refused(maps):
    with pytest.raises(ValueError, match="2 or more"):
        average_fours(maps)
