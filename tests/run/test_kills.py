"""SIGKILL at random moments: what is resumed is what would have been."""

from pathlib import Path

import pytest
from killing import Kills, kill_often

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("wanted", "options"), [(3, []), (2, ["--jobs", "2"])])
def test_kills_lose_nothing(wanted: int, options: list[str], tmp_path: Path, data: Path) -> None:
    kills = Kills(wanted, options)
    kill_often(tmp_path, data, kills, seed=1)
    assert len(kills.moments) == wanted
