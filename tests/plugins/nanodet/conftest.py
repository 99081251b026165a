from pathlib import Path

import pytest
from reference_data import reference_files
from rival_golden import RivalGolden, read_rival

FILES = reference_files("golden_nanodet_plus_m_*_seed*.npz")


@pytest.fixture(scope="session", params=FILES, ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> RivalGolden:
    path: Path = request.param
    return read_rival(path)
