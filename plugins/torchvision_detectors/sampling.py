"""torchvision's random samples, drawn for each image by its own seed, and what they divide."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from harness.model.processes import mean_over_processes

Masks = list[Tensor]


class SeededSampler(BalancedPositiveNegativeSampler):  # type: ignore[misc]
    """As torchvision's, but an image's sample does not depend on the images before it.

    Attributes:
        seeds: one per image; None samples as torchvision does.
        count: of all boxes that the last call sampled.
    """

    seeds: Sequence[int] | None = None
    count = 0

    def __call__(self, matched_idxs: Sequence[Tensor]) -> tuple[Masks, Masks]:
        seeds: Sequence[int | None] = self.seeds or [None] * len(matched_idxs)
        found = [self._sample(*image) for image in zip(matched_idxs, seeds, strict=True)]
        positives, negatives = map(list, zip(*found, strict=True))
        self.count = sum(int(mask.sum()) for mask in (*positives, *negatives))
        return positives, negatives

    def _sample(self, matched: Tensor, seed: int | None) -> tuple[Tensor, Tensor]:
        if seed is None:
            (positive,), (negative,) = super().__call__([matched])
            return positive, negative
        with torch.random.fork_rng([matched.device] if matched.is_cuda else []):
            torch.manual_seed(seed)
            return self._sample(matched, None)


def share_of_all(count: int, device: torch.device) -> Tensor:
    """What a loss that this process has divided by its own count is multiplied with, so that all
    processes together have divided by the count of all."""
    return count / mean_over_processes(torch.tensor(count, device=device)).clamp(min=1)


def replace_samplers(*modules: Any) -> None:
    """In modules with a `fg_bg_sampler`."""
    for module in modules:
        old = module.fg_bg_sampler
        module.fg_bg_sampler = SeededSampler(old.batch_size_per_image, old.positive_fraction)


@contextmanager
def sampling(seeds: Tensor | None, *modules: Any) -> Iterator[None]:
    """Training mode, in which alone torchvision samples and returns losses; no layer depends on it.

    Args:
        seeds: (B,), of `Targets`.
    """
    modes = [module.training for module in modules]
    for number, module in enumerate(modules):
        module.training = True
        own = None if seeds is None else (seeds + number).tolist()
        module.fg_bg_sampler.seeds = own
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
