"""Timing things against one another: in turn, so that what else a machine does meets them alike."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from statistics import median
from time import perf_counter

import torch

LEAST_ROUNDS = 5
Functions = Mapping[str, Callable[[], object]]


def wall_seconds(function: Callable[[], object]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


def event_seconds(function: Callable[[], object]) -> float:
    """Between two CUDA events, on an idle device."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    function()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def time_in_turn(
    functions: Functions,
    rounds: int,
    clock: Callable[[Callable[[], object]], float] = wall_seconds,
    warm_up: int = 2,
    budget: float = inf,
) -> dict[str, list[float]]:
    """Seconds of each function in each round; another one first in every round.

    Args:
        rounds: the most; fewer once `budget` seconds are spent, but five at least.
    """
    for function in functions.values():
        for _ in range(warm_up):
            clock(function)
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    names, start = list(functions), perf_counter()
    for turn in range(rounds):
        if turn >= LEAST_ROUNDS and perf_counter() - start > budget:
            break
        k = turn % len(names)
        for name in names[k:] + names[:k]:
            seconds[name].append(clock(functions[name]))
    return seconds


def fastest(seconds: Mapping[str, list[float]], labels: Iterable[str]) -> str:
    """By the median."""
    return min(labels, key=lambda label: median(seconds[label]))


@dataclass(frozen=True)
class Goal:
    """A figure against what it should be.

    Attributes:
        value: in `unit`; "x" is a ratio of medians within one process.
        limit: "at least" or "at most" of it is met.
        rounds: how often each side was timed.
        detail: the figures that it comes from.
    """

    what: str
    value: float
    unit: str
    kind: str
    limit: float
    rounds: int
    detail: str

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.kind == "at least" else self.value <= self.limit


def at_most(
    what: str, seconds: Mapping[str, list[float]], own: str, rival: str, limit: float
) -> Goal:
    """Own time over the rival's."""
    ratio, detail = _ratio(seconds, own, rival)
    return Goal(what, ratio, "x", "at most", limit, len(seconds[own]), detail)


def at_least(
    what: str, seconds: Mapping[str, list[float]], own: str, rival: str, limit: float
) -> Goal:
    """The rival's time over own: how many times as fast."""
    ratio, detail = _ratio(seconds, own, rival)
    return Goal(what, 1 / ratio, "x", "at least", limit, len(seconds[own]), detail)


def _ratio(seconds: Mapping[str, list[float]], own: str, rival: str) -> tuple[float, str]:
    mine, theirs = median(seconds[own]), median(seconds[rival])
    return mine / theirs, f"{own} {mine * 1e3:.4g} ms, {rival} {theirs * 1e3:.4g} ms"
