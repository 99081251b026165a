"""examples/ holds packages from outside, which install, pass their tests and run, and notebooks."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import warm_processes
from outside_packages import install, run_with

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir()))
def test_an_example_is_a_package_that_works(tmp_path: Path, name: str):
    package, site = tmp_path / name, tmp_path / "site"
    shutil.copytree(EXAMPLES / name, package)
    install(package, site)
    tests = ["-q", "-p", "no:cacheprovider", package / "tests"]
    assert "passed" in run_with(site, "pytest", *tests, cwd=tmp_path)
    choice = ["--only", name, "--stages", "cost", "--device", "cpu"]
    assert name in run_with(site, "harness", "run", package / "suite.yaml", *choice, cwd=tmp_path)


def test_there_is_a_notebook():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path):
    for cell in json.loads(path.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_the_notebook_compares_two_detectors(tmp_path: Path):
    program = Path(__file__).with_name("notebook_cells.py")
    command = [sys.executable, program, EXAMPLES / "compare_two_detectors.ipynb"]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    done = warm_processes.run(command, cwd=tmp_path, env=variables)
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert "macs_paper" in shown, "what the backbone costs"
    assert all(f"<th>{name}</th>" in shown for name in ("mobilenet", "stripes"))
    [(low, value, high, verdict)] = [
        (float(low), float(value), float(high), verdict)
        for value, low, high, verdict in re.findall(
            r"AP50: ([-+.\d]+) points \[([-+.\d]+), ([-+.\d]+)\], (\w+)", shown
        )
    ]
    assert low <= value <= high
    assert low < high
    assert (verdict in ("better", "worse")) == (low > 0 or high < 0)
    assert re.search(r"latency: \d+\.\d\d times, \w+", shown)
    assert "'boxes': (" in shown
