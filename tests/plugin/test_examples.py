"""examples/ holds packages from outside: they install, pass their tests, and their suites run."""

import shutil
from pathlib import Path

import pytest
from outside_packages import install, run_with

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir()))
def test_an_example_is_a_package_that_works(tmp_path: Path, name: str):
    package, site = tmp_path / name, tmp_path / "site"
    shutil.copytree(EXAMPLES / name, package)
    install(package, site)
    tests = ["-q", "-p", "no:cacheprovider", package / "tests"]
    assert "passed" in run_with(site, "pytest", *tests, cwd=tmp_path)
    choice = ["--only", name, "--stages", "cost", "--device", "cpu"]
    assert name in run_with(site, "harness", "run", package / "suite.yaml", *choice, cwd=tmp_path)
