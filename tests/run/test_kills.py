"""SIGKILL at random moments: what is resumed is what would have been."""

from pathlib import Path

import pytest
from killing import Kills, kill_often

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("options", [[], ["--jobs", "2"]], ids=["inline", "subprocess"])
def test_kills_lose_nothing(options: list[str], tmp_path: Path, data: Path) -> None:
    kills = Kills(3, options)
    kill_often(tmp_path, data, kills, seed=1)
    assert len(kills.moments) == 3
