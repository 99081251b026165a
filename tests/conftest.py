"""What tests of every room share: where the real data sets lie."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("HARNESS_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets; tests that ask for it are marked `shared`."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data sets at {SHARED}; name their folder in HARNESS_DATA")
    return SHARED
