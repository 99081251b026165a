"""What losses see of sampled anchors is what the dense maps say, gradients included."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.model.features import FeatureSpec
from harness_plugins.tinydet.rpn import TinyRpn, tiny_rpn

STRIDES, SIDE, CHANNELS = (8, 16, 32), 64, 49


def make_rpn() -> TinyRpn:
    torch.manual_seed(0)
    features = [FeatureSpec(f"p{s}", CHANNELS, s) for s in STRIDES]
    rpn = tiny_rpn(features, image_size=(SIDE, SIDE), groups=7)
    for conv in (m for m in rpn.modules() if isinstance(m, nn.Conv2d)):
        nn.init.normal_(conv.weight, std=0.3)
        nn.init.normal_(conv.bias)
    return rpn


def make_maps() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(2, CHANNELS, SIDE // s, SIDE // s, generator=generator) for s in STRIDES]
    # one of each memory format: a CPU's backbone gives channels last, a GPU's does not
    maps[0] = maps[0].contiguous(memory_format=torch.channels_last)
    return [x.requires_grad_() for x in maps]


def draw_anchors(rpn: TinyRpn) -> Tensor:
    """Some of every map, the first and the last, and one of them twice."""
    count = sum(rpn.level_sizes)
    drawn = torch.randint(count, (2, 60), generator=torch.Generator().manual_seed(2))
    return torch.cat([drawn, torch.tensor([[0, count - 1, 7, 7]] * 2)], 1)


def in_order_of_anchors(maps: Sequence[Tensor], numbers: int) -> Tensor:
    """(B, anchors of all levels, numbers)."""
    rows = [x.permute(0, 2, 3, 1).reshape(len(x), -1, numbers) for x in maps]
    return torch.cat(rows, 1)


def gradients(rpn: TinyRpn, maps: list[Tensor], logits: Tensor, deltas: Tensor) -> list[Tensor]:
    weights = torch.linspace(0.1, 1, logits.numel()).view_as(logits)
    total = (logits * weights).sum() + (deltas.square() * weights[..., None]).sum()
    return list(torch.autograd.grad(total, [*maps, *rpn.parameters()], retain_graph=True))


def test_sampled_anchors_equal_the_dense_maps() -> None:
    rpn, maps = make_rpn(), make_maps()
    indices, trained = draw_anchors(rpn), rpn(maps)
    logits, deltas = rpn._predict_at(trained.rows(), indices)
    outputs = rpn.eval()(maps)
    dense_logits = in_order_of_anchors(outputs.logits, 1)[..., 0].gather(1, indices)
    corners = indices[..., None].expand(-1, -1, 4)
    dense_deltas = in_order_of_anchors(outputs.deltas, 4).gather(1, corners)
    for one, other in ((trained.logits, outputs.logits), (trained.deltas, outputs.deltas)):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
        assert not any(x.requires_grad for x in one)
    torch.testing.assert_close(logits, dense_logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(deltas, dense_deltas, rtol=1e-5, atol=1e-5)
    found = gradients(rpn, maps, logits, deltas)
    wanted = gradients(rpn, maps, dense_logits, dense_deltas)
    for ours, dense in zip(found, wanted, strict=True):
        assert dense.abs().max() > 0
        torch.testing.assert_close(ours, dense, rtol=1e-4, atol=1e-4 * float(dense.abs().max()))
