"""Learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from harness.manifest.schema import Schedule


def learning_rate(step: int, total: int, base: float, schedule: Schedule) -> float:
    """Rate of step `step` (from 0) out of `total`.

    A half cosine from `base` to `schedule.final_lr` over the whole length (Loshchilov and
    Hutter, SGDR, arXiv 1608.03983, eq. 5, one period), multiplied during warm-up by a line
    from `warmup_factor` to 1.
    """
    cosine = 0.5 * (1 + math.cos(math.pi * step / total))
    return warmup(step, schedule) * (schedule.final_lr + (base - schedule.final_lr) * cosine)


def warmup(step: int, schedule: Schedule) -> float:
    """Factor on the rate: `warmup_factor` at step 0, 1 from `warmup_steps` on."""
    if step >= schedule.warmup_steps:
        return 1.0
    return schedule.warmup_factor + (1 - schedule.warmup_factor) * step / schedule.warmup_steps
