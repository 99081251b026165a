"""Nothing of a cell lives on in the next one."""

import gc
import multiprocessing
import threading

import pytest
import torch
from torch.utils.data import DataLoader

from harness.run.memory import clear_away


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
