"""Batch norms fused into the convolutions before them, and parts that fuse more of themselves."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

FROZEN = "torchvision.ops.misc"


def is_norm(module: nn.Module) -> bool:
    """Whether it is a batch norm, torchvision's frozen one included."""
    # which takes seconds to import, and which nothing is an instance of unless somebody has
    frozen = getattr(sys.modules.get(FROZEN), "FrozenBatchNorm2d", nn.BatchNorm2d)
    return isinstance(module, nn.BatchNorm2d | frozen)


@torch.no_grad()
def fold_norms(module: nn.Module, run: Callable[[], object]) -> int:
    """Fuse every batch norm of `module` that directly follows a convolution.

    Which do is seen in one pass instead of read from names, so that it holds for any module. A
    norm that brings an activation along (timm's) keeps that.

    Args:
        module: in evaluation mode; changed in place.
        run: passes something through the module.

    Returns:
        How many norms are fused.
    """
    places = {part: name for name, part in module.named_modules()}
    found = _foldable(module, run)
    for conv, norm in found:
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps,
            norm.weight, norm.bias,
        )  # fmt: skip
        module.set_submodule(places[norm], nn.Sequential(*norm.children()))
    return len(found)


def _foldable(module: nn.Module, run: Callable[[], object]) -> list[tuple[nn.Conv2d, Any]]:
    """Pairs of a convolution and the norm behind it, seen by hooks during one pass.

    Each ran once, and nothing else read the tensor in between.
    """
    calls: Counter[nn.Module] = Counter()
    outputs: dict[int, tuple[Any, Tensor]] = {}  # the tensors too: no identity is given twice
    found: list[tuple[nn.Conv2d, nn.Module, int]] = []

    def after(part: nn.Module, _: Any, output: Tensor) -> None:
        calls[part] += 1
        if type(part) is nn.Conv2d:
            outputs[id(output)] = part, output

    def before(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        if id(inputs[0]) in outputs:
            found.append((outputs[id(inputs[0])][0], norm, id(inputs[0])))

    norms = [part for part in module.modules() if is_norm(part)]
    convs = [part for part in module.modules() if type(part) is nn.Conv2d]
    hooks = [part.register_forward_hook(after) for part in (*convs, *norms)]
    hooks += [norm.register_forward_pre_hook(before) for norm in norms]
    uses = _Uses()
    try:
        with uses:
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return [
        (conv, norm)
        for conv, norm, between in found
        if calls[conv] == calls[norm] == uses.counts[between] == 1
    ]


class _Uses(TorchFunctionMode):
    """Counts the tensors that computations read, by identity."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[int] = Counter()
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
            self.counts.update(map(id, read))
        return result


@torch.no_grad()
def fuse_parts(module: nn.Module) -> list[str]:
    """Ask every part that knows a faster way to compute the same for inference to take it.

    Such a part has a method `fuse_for_inference`, which changes it in place; it is called once
    norms are fused. Returns the names of the parts that have one.
    """
    found = [name for name, part in module.named_modules() if hasattr(part, "fuse_for_inference")]
    for name in found:
        module.get_submodule(name).fuse_for_inference()  # type: ignore[operator]
    return found
