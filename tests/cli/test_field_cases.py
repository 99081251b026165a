"""Situations that people of this field reported, each a program that ends with 0 if all is well.

They lie beside the real data sets (`cases` next to the folder that HARNESS_DATA names).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from shared_folder import SHARED
from warm_processes import command_of

pytestmark = pytest.mark.slow

CASES = SHARED.parent / "cases"
NAMES = sorted(path.parent.name for path in CASES.glob("*/run.sh"))


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES or ["none"])
def test_the_product_behaves_rightly(name: str, tmp_path: Path) -> None:
    if not NAMES:
        pytest.skip(f"no cases at {CASES}")
    with command_of("harness", tmp_path) as harness:
        own = {"HARNESS": str(harness), "PYTHON": sys.executable, "TMPDIR": str(tmp_path)}
        done = subprocess.run(
            ["bash", str(CASES / name / "run.sh")],
            env={**os.environ, **own, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout + done.stderr
