"""Packages from outside, as an installer leaves them: in a folder that Python looks into."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import warm_processes

BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


def install(package: Path, site: Path) -> None:
    """Build its wheel and unpack it; nothing is downloaded."""
    wheels = site.with_name("wheels")
    wheels.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, str(wheels)]
    subprocess.run(command, cwd=package, check=True, capture_output=True)
    for wheel in wheels.glob(f"{package.name}-*.whl"):
        zipfile.ZipFile(wheel).extractall(site)


def run_with(site: Path, *command: object, cwd: Path) -> str:
    """Run a module of Python that sees the installed packages; what it prints."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(site)}
    words = [sys.executable, "-P", "-m", *map(str, command)]
    done = warm_processes.run(words, cwd=cwd, env=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
