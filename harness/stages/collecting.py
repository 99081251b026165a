"""Python's garbage collector, kept from walking over what is plainly alive."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

USUAL = gc.get_threshold()
SELDOM = 50_000  # objects


def collect_seldom() -> None:
    """For imports, until `set_aside`: half a million objects that stay.

    The collector would go over them again and again as they grow: a fifth of the time.
    """
    gc.set_threshold(SELDOM)


def set_aside() -> None:
    """Let the collector pass over all that is there now, and look at the rest as often as usual.

    Every whole collection would go over the modules' objects: a quarter of a second, several times
    in each cell.
    """
    # else libraries whose bindings look for leaks find all of their objects, and say so
    atexit.register(gc.unfreeze)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*USUAL)


@contextmanager
def collector_paused(collect_first: bool = False) -> Iterator[None]:
    """For code that makes a million small objects and no cycles among them, or that is timed.

    The collector would go over all of them again and again as they grow: half of the time.

    Args:
        collect_first: whether it runs before, in place of in between.
    """
    was_on = gc.isenabled()
    if collect_first:
        gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
