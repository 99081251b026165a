"""What tests of modes share."""

from collections.abc import Iterator

import pytest
import torch
from mode_detectors import build

from harness.model.detector import Detector


@pytest.fixture
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def detector() -> Detector:
    """TinyDet-S; no test may change it."""
    return build("tinydet_s")
