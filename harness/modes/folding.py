"""Batch norms folded into the convolutions before them, and parts that fuse more of themselves."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torchvision.ops import FrozenBatchNorm2d

NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


class _Uses(TorchFunctionMode):
    """Counts the tensors that computations read, by identity."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[int, int] = {}
        self.alive: list[Tensor] = []  # so that no identity is given twice

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        # asking for a shape computes nothing
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            read = [x for x in tree_leaves((args, dict(kwargs or {}))) if isinstance(x, Tensor)]
            self.alive += read
            for tensor in read:
                self.counts[id(tensor)] = self.counts.get(id(tensor), 0) + 1
        return result


class _Pairs:
    """Which norm read which convolution's output, seen by hooks during one pass."""

    def __init__(self, module: nn.Module) -> None:
        self.calls: dict[nn.Module, int] = {}
        self.sources: dict[int, nn.Conv2d] = {}
        self.outputs: list[Tensor] = []
        self.found: list[tuple[nn.Conv2d, nn.Module, int]] = []
        self.hooks = [
            part.register_forward_hook(self._after_conv if type(part) is nn.Conv2d else self._count)
            for part in module.modules()
            if type(part) is nn.Conv2d or isinstance(part, NORMS)
        ]
        self.hooks += [
            part.register_forward_pre_hook(self._before_norm)
            for part in module.modules()
            if isinstance(part, NORMS)
        ]

    def _count(self, part: nn.Module, *_: Any) -> None:
        self.calls[part] = self.calls.get(part, 0) + 1

    def _after_conv(self, conv: nn.Module, _: Any, output: Tensor) -> None:
        assert isinstance(conv, nn.Conv2d)
        self._count(conv)
        self.sources[id(output)] = conv
        self.outputs.append(output)

    def _before_norm(self, norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        conv = self.sources.get(id(inputs[0]))
        if conv is not None:
            self.found.append((conv, norm, id(inputs[0])))

    def foldable(self, uses: Mapping[int, int]) -> list[tuple[nn.Conv2d, nn.Module]]:
        """Pairs that ran once, and whose tensor in between nothing else read."""
        return [
            (conv, norm)
            for conv, norm, between in self.found
            if self.calls[conv] == self.calls[norm] == uses[between] == 1
        ]


@torch.no_grad()
def fold_norms(module: nn.Module, run: Callable[[], object]) -> int:
    """Fold every batch norm of `module` that stands right behind a convolution.

    Which do is seen in one pass instead of read from names, so that it holds for any module. A
    norm that brings an activation along (timm's) keeps that.

    Args:
        module: in evaluation mode; changed in place.
        run: passes something through the module.

    Returns:
        How many norms are folded.
    """
    pairs, uses = _Pairs(module), _Uses()
    try:
        with uses:
            run()
    finally:
        for hook in pairs.hooks:
            hook.remove()
    places = {part: name for name, part in module.named_modules()}
    found = pairs.foldable(uses.counts)
    for conv, norm in found:
        _fold(conv, norm)
        module.set_submodule(places[norm], nn.Sequential(*norm.children()))
    return len(found)


@torch.no_grad()
def fuse_parts(module: nn.Module) -> list[str]:
    """Ask every part that knows a faster way to compute the same for inference to take it.

    Such a part has a method `fuse_for_inference`, which changes it in place; it is called once
    norms are folded. Returns the names of the parts that have one.
    """
    found = [name for name, part in module.named_modules() if hasattr(part, "fuse_for_inference")]
    for name in found:
        module.get_submodule(name).fuse_for_inference()  # type: ignore[operator]
    return found


def _fold(conv: nn.Conv2d, norm: Any) -> None:
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps,
        norm.weight, norm.bias,
    )  # fmt: skip
