"""Learning rates as pure functions of the step."""

import math
from collections.abc import Callable

from harness.plugin import Length

Rate = Callable[[int, Length, float], float]
Span = int | float | str


def _warming(rate: Rate, warmup: str, warmup_steps: Span, warmup_factor: float) -> Rate:
    """`rate` times a rise from `warmup_factor` at step 0 to 1."""

    def warmed(step: int, length: Length, lr: float) -> float:
        whole, steps = rate(step, length, lr), length.of(warmup_steps)
        if step >= steps:
            return whole
        risen = (1 - warmup_factor) * step / steps
        if warmup == "quadratic":
            risen *= step / steps
        return whole * (warmup_factor + risen)

    return warmed


def cosine(
    *,
    warmup: str,
    warmup_steps: Span,
    warmup_factor: float,
    final_lr: float,
    final_factor: float | None,
    final_steps: Span,
    after_warmup: bool,
) -> Rate:
    """Target: one period of SGDR (Loshchilov and Hutter, arXiv 1608.03983, eq. 5)."""

    def rate(step: int, length: Length, lr: float) -> float:
        final = final_lr if final_factor is None else final_factor * lr
        begin = length.of(warmup_steps) if after_warmup else 0
        end = length.steps - length.of(final_steps)
        if step >= end:
            return final
        falling = 0.5 * (1 + math.cos(math.pi * max(0, step - begin) / max(1, end - begin)))
        return final + (lr - final) * falling

    return _warming(rate, warmup, warmup_steps, warmup_factor)


def multi_step(
    *,
    warmup: str,
    warmup_steps: Span,
    warmup_factor: float,
    milestones: tuple[Span, ...],
    gamma: float,
) -> Rate:
    """Target."""

    def rate(step: int, length: Length, lr: float) -> float:
        return float(lr * gamma ** sum(step >= length.of(milestone) for milestone in milestones))

    return _warming(rate, warmup, warmup_steps, warmup_factor)


def constant(*, warmup: str, warmup_steps: Span, warmup_factor: float) -> Rate:
    """Target."""
    return _warming(lambda step, length, lr: lr, warmup, warmup_steps, warmup_factor)
