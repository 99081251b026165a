"""Nothing of a cell lives on in the next one."""

import gc
import multiprocessing
import subprocess
import sys
import threading
import weakref

import pytest
import torch
from torch.utils.data import DataLoader

from harness.run.memory import clear_away
from harness.stages.collecting import USUAL, collect_seldom, set_aside


@pytest.mark.slow
def test_workers_of_a_loader_that_nothing_reaches_are_ended():
    """Persistent workers live as long as their loader, which a cycle keeps until a collection."""
    threads = threading.active_count()
    gc.disable()
    try:
        loader = DataLoader(range(8), num_workers=2, persistent_workers=True)
        assert sum(len(batch) for batch in loader) == 8
        cycle = [loader]
        cycle.append(cycle)
        del loader, cycle
        assert multiprocessing.active_children(), "or there would be nothing to end"
        clear_away(torch.device("cpu"))
        assert not multiprocessing.active_children()
        assert threading.active_count() == threads
    finally:
        gc.enable()


def test_what_is_set_aside_is_passed_over_and_what_comes_later_is_collected():
    class Cycle:
        def __init__(self) -> None:
            self.own = self

    collect_seldom()
    assert gc.get_threshold()[0] > USUAL[0]
    set_aside()
    try:
        assert gc.get_threshold() == USUAL
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 10_000
        later = weakref.ref(Cycle())
        gc.collect()
        assert later() is None
    finally:
        gc.freeze()  # what the session had set aside


@pytest.mark.slow
def test_nothing_is_told_of_leaks_when_the_process_ends():
    """Triton's bindings do, of whatever the collector does not reach at the end."""
    code = "import triton; from harness.stages.collecting import set_aside; set_aside()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
