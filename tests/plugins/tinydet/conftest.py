from pathlib import Path

import pytest
from tinydet_golden import Golden, golden_files, read_golden


@pytest.fixture(scope="session", params=golden_files(), ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> Golden:
    path: Path = request.param
    return read_golden(path)
