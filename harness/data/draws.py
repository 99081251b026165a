"""Random draws from torch's default generator, which the data set seeds for each sample."""

import torch

HALF = 0.5


def happens() -> bool:
    """Half the time."""
    return bool(torch.rand(()) < HALF)


def uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))
