from pathlib import Path

import hypothesis
import pytest
from tinydet_golden import Golden, golden_files, read_golden

# a busy machine may take long over one example, which is no fault of the code
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session", params=golden_files(), ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> Golden:
    path: Path = request.param
    return read_golden(path)
