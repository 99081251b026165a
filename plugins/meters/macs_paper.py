"""Multiply-adds as the TinyDet paper counts its "FLOPs".

Chen et al., "TinyDet", arXiv 2304.03428: for one image and 200 proposals, the multiply-adds of
convolutions plus one per output element where the convolution has a bias, and the multiply-adds
of linear layers without their bias. Everything else counts zero.

Modules are counted, not kernels: a grouped convolution that computes itself as a matrix product
costs what the convolution costs. Products outside such modules are not part of the definition;
they are measured apart and reported as a warning.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Self

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from harness.model.detector import Detector
from harness.plugin.metrics import Finding
from harness.records.measurement import Measurement
from harness.stages.inputs import CostInput
from harness_plugins.meters.roles import (
    input_conditions,
    measure_by_role,
    proposal_conditions,
)

PAPER_PROPOSALS = 200
RULE = "conv multiply-adds + 1 per output element if biased; linear multiply-adds"


class MacsPaper:
    """Meter of the stage `cost`: `macs_paper` in MMACs, whole and by role."""

    def __call__(self, detector: Detector, given: CostInput) -> list[Measurement]:
        inputs = detector.preprocess([given.image])
        with MacCounter(detector) as counter:
            outputs = detector.network(inputs)
        proposals = proposal_conditions(outputs)
        conditions = {"rule": RULE, **input_conditions(inputs.pixels), **proposals}
        warnings = counter.warnings() + proposal_warnings(proposals)
        return measure_by_role(
            "macs_paper",
            counter.counts,
            detector,
            conditions=conditions,
            warnings=warnings,
        )


def proposal_warnings(proposals: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Says so where the count is for another number of proposals than the paper's."""
    number = proposals.get("proposals", PAPER_PROPOSALS)
    if number == PAPER_PROPOSALS:
        return ()
    told = {"proposals": number, "paper": PAPER_PROPOSALS}
    return (Finding("proposals_differ", "remark", told),)


def convolution_macs(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> int:
    """Multiply-adds of an `nn.ConvNd`, its bias as one per output element."""
    if not isinstance(module, _ConvNd):
        raise TypeError(f"no convolution: {type(module).__name__}")
    # a transposed convolution spreads each input element, a plain one gathers each output
    positions = inputs[0].numel() if module.transposed else output.numel()
    channels = module.out_channels if module.transposed else module.in_channels
    macs = positions * (channels // module.groups) * prod(module.kernel_size)
    return macs + (output.numel() if module.bias is not None else 0)


def linear_macs(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> int:
    """Multiply-adds of an `nn.Linear`; its bias is not counted."""
    if not isinstance(module, nn.Linear):
        raise TypeError(f"no linear layer: {type(module).__name__}")
    return output.numel() * module.in_features


RULES: dict[type[nn.Module], Callable[[nn.Module, tuple[Tensor, ...], Tensor], int]] = {
    _ConvNd: convolution_macs,
    nn.Linear: linear_macs,
}


class MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's is untyped
    """Counts while it is entered.

    Attributes:
        counts: multiply-adds by name of the counted module.
        outside: multiply-adds of products that no counted module computed, by operator.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.counts: Counter[str] = Counter()
        self.outside: Counter[str] = Counter()
        self._depth = 0
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        for name, module in self.model.named_modules():
            for kind, rule in RULES.items():
                if isinstance(module, kind):
                    self._hook(name, module, rule)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()

    def _hook(self, name: str, module: nn.Module, rule: Callable[..., int]) -> None:
        def enter(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self._depth += 1

        def leave(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self._depth -= 1
            self.counts[name] += rule(module, inputs, output)

        self._hooks += [
            module.register_forward_pre_hook(enter),
            module.register_forward_hook(leave),
        ]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None and self._depth == 0:
            # the registry counts a multiply-add as two operations
            self.outside[str(func._overloadpacket)] += (
                count(*args, **(kwargs or {}), out_val=output) // 2
            )
        return output

    def warnings(self) -> tuple[Finding, ...]:
        """What the definition leaves out although it multiplies."""
        return tuple(
            Finding("not_counted", params={"mmacs": macs / 1e6, "operator": operator})
            for operator, macs in sorted(self.outside.items())
            if macs
        )
