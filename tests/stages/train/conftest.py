import math
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Toys are too small to share, and bits are compared with those of other processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def save_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toys' epochs are shorter than a checkpoint takes."""
    monkeypatch.setattr("harness.stages.train.training.SAVE_SHARE", math.inf)
