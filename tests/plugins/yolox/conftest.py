import pytest
from reference_data import reference_files
from rival_golden import RivalGolden, read_rival


@pytest.fixture(
    scope="session", params=reference_files("golden_yolox_*_seed*.npz"), ids=lambda p: p.stem
)
def golden(request: pytest.FixtureRequest) -> RivalGolden:
    return read_rival(request.param)
