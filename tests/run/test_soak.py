"""A process that runs cell after cell holds no more memory, files and threads for it."""

from pathlib import Path

import pytest
from soaking import growth, soak

pytestmark = pytest.mark.slow

CELLS = 60  # 300 by `soaking.py`


def test_cells_leave_nothing_behind(tmp_path: Path, data: Path):
    looks = soak(tmp_path, data, CELLS).looks
    # one that each cell left open would be thirty more; one or two are those of a cell at work
    assert growth(looks, "files") < 2.0
    assert growth(looks, "threads") == 1.0
    assert growth(looks, "rss") < 1.05
