"""Exported graphs, in a process of their own.

Both runtimes and their libraries stay in a process once they are loaded, and a worker that had them
ended without a word when a later test started a process.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_exported_graphs_find_what_eager_finds(pytestconfig: pytest.Config) -> None:
    """All of `exported_graphs.py`, but for what this session, too, leaves to the newest torch."""
    left_out = "not newest"
    chosen = ["-m", left_out] if left_out in pytestconfig.getoption("markexpr") else []
    checks = Path(__file__).with_name("exported_graphs.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, checks]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "failed" not in done.stdout
