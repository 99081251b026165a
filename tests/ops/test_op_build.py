"""The build: with a compiler it makes the libraries, without one it says why and goes on."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from op_cases import copy_ops

from harness.ops import library, status

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

PROJECT = """\
[project]
name = "harness"
version = "0"
[tool.setuptools]
packages = ["harness.ops"]
"""

STATUS = """
import json
from harness.ops import status
state = status()
print(json.dumps([state.compiled, state.cuda, state.reason]))
"""

SOURCES = [schema.parent for schema in (ROOT / "csrc").glob("*/schema.cpp")]


def build(folder: Path, ready: Path | None = None, **variables: str) -> tuple[dict, list]:
    """Builds a copy of the ops in place; returns the build's report and what `status` then says.

    The library `ready` is taken for one that an earlier build has made of the same sources.
    """
    shutil.copytree(ROOT / "csrc", folder / "csrc")
    copy_ops(folder / "harness")
    shutil.copy(ROOT / "setup.py", folder)
    (folder / "pyproject.toml").write_text(PROJECT)
    environment = {**os.environ, **variables}
    if ready is not None:
        (folder / "built" / "harness" / "ops").mkdir(parents=True)
        shutil.copy(ready, folder / "built" / "harness" / "ops")
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--build-lib=built"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    report = json.loads((folder / "harness" / "ops" / "_build.json").read_text())
    environment["PYTHONPATH"] = str(folder)
    said = subprocess.run(
        [sys.executable, "-P", "-c", STATUS],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return report, json.loads(said.stdout)


@pytest.mark.newest
def test_switched_off(tmp_path):
    report, (compiled, cuda, reason) = build(tmp_path, HARNESS_BUILD="0")
    assert not compiled
    assert not cuda
    assert report["reason"] == reason == "switched off by HARNESS_BUILD=0"


@pytest.mark.newest
def test_without_a_compiler_the_build_succeeds(tmp_path):
    report, (compiled, cuda, reason) = build(tmp_path, CC="false", CXX="false")
    assert not compiled
    assert not cuda
    assert "false" in reason
    assert report["cuda_reason"] == "the CPU part, which declares the ops, is not compiled"


@pytest.mark.newest
def test_a_failing_nvcc_leaves_the_cpu_part(tmp_path):
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        pytest.skip("needs a C++ compiler")
    fake = tmp_path / "cuda" / "bin" / "nvcc"
    fake.parent.mkdir(parents=True)
    fake.write_text("#!/bin/sh\necho 'error: no such toolkit' >&2\nexit 1\n")
    fake.chmod(0o755)
    copy = tmp_path / "copy"
    copy.mkdir()
    # what was installed was compiled from these sources, which takes a minute
    ready = next(library.FOLDER.glob("_C.*so"), None)
    _, (compiled, cuda, reason) = build(copy, ready, CUDA_HOME=str(tmp_path / "cuda"))
    assert compiled
    assert not cuda
    assert reason.startswith("no CUDA part: ")


def test_the_installed_ops_have_a_cuda_part_where_nvcc_is():
    state = status()
    if shutil.which("nvcc") is None or torch.version.cuda is None:
        pytest.skip("needs nvcc and a CUDA build of torch")
    if "HARNESS_BUILD=0" in str(state.build.get("reason")):
        pytest.skip("installed with HARNESS_BUILD=0")
    assert state.cuda, state.reason
    assert any("code=sm_" in flag for flag in state.build["cuda_flags"])


def test_the_installed_ops_have_every_kernel_that_has_a_source():
    """A library is linked and loaded as well when a file of its sources was left out."""
    state = status()
    if not state.compiled:
        pytest.skip("needs ops that were compiled")
    wanted = {("CPU", name) for folder in SOURCES for name in declared_in(folder)}
    if state.cuda:
        on_gpu = [folder for folder in SOURCES if any(folder.glob("*.cu"))]
        wanted |= {("CUDA", name) for folder in on_gpu for name in declared_in(folder)}
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    assert {
        (device, name) for device, name in wanted if not has(f"harness::{name}", device)
    } == set()
    assert len(wanted) > 10


def declared_in(folder: Path) -> list[str]:
    return re.findall(r'm\.def\(\s*"(\w+)\(', (folder / "schema.cpp").read_text())
