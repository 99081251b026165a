"""Which of some numbers is marked as the best: the same rule on the terminal and on every page."""

from collections.abc import Collection, Mapping
from typing import TypeVar

from harness.report.cells import Column

Key = TypeVar("Key", str, int)


def best_of(
    values: Mapping[Key, float], column: Column, rivals: Collection[Key] | None = None
) -> Key | None:
    """Whose value is best; nobody's where that would say more than the numbers shown do.

    Args:
        values: those that can be compared: there, and not invalid.
        rivals: whose difference from the best may be noise, where that is known; else all others.

    Returns:
        None where fewer than two can be compared, where the metric has no better, and where a
        rival is shown the same.
    """
    if column.higher_is_better is None or len(values) < 2:
        return None
    choose = max if column.higher_is_better else min
    best = choose(values, key=lambda key: values[key])
    others = values.keys() - {best} if rivals is None else set(rivals)
    shown = column.show(values[best])
    return None if any(column.show(values[other]) == shown for other in others) else best
