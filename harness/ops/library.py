"""Finds and loads the compiled ops, and reports which implementation runs."""

import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).parent

_ops: Any = torch.ops  # typed in some versions only


@dataclass(frozen=True)
class Status:
    """Which ops are compiled.

    `reason` says why `compiled` or `cuda` is false, in one line; `path` is the CPU library. `build`
    is what the build recorded: torch version, flags.
    """

    compiled: bool
    cuda: bool
    reason: str | None
    path: Path | None
    build: dict[str, object]


def _read_build() -> dict[str, object]:
    try:
        report = json.loads((FOLDER / "_build.json").read_text())
    except (OSError, ValueError):
        return {"reason": "the package is not installed (uv sync, or pip install -e .)"}
    return report if isinstance(report, dict) else {}


def _load(name: str, recorded: object) -> tuple[Path | None, str | None]:
    """Loads one library; returns its path, or why there is none."""
    found = sorted(path for path in FOLDER.glob(f"{name}.*") if path.suffix in (".so", ".pyd"))
    if not found:
        return None, str(recorded or "the library is missing; reinstall the package")
    try:
        _ops.load_library(str(found[0]))
    except OSError as error:
        return None, f"{found[0].name} does not load: {str(error).splitlines()[0]}"
    return found[0], None


def serves(flags: Iterable[str], capability: tuple[int, int]) -> bool:
    """Whether a binary that nvcc built with these flags has kernels for a compute capability.

    Machine code runs on later minor versions of its major one, PTX on all later architectures.
    """
    codes = [
        match for flag in flags if (match := re.search(r"code=(sm|compute)_(\d+)(\d)[a-z]?$", flag))
    ]
    made = [(kind, (int(major), int(minor))) for kind, major, minor in (m.groups() for m in codes)]
    return not made or any(
        capability >= least and (kind == "compute" or capability[0] == least[0])
        for kind, least in made
    )


def _unserved(build: dict[str, object]) -> str | None:
    """Why the CUDA part is useless on every GPU here: loaded, it would replace the reference."""
    flags = build.get("cuda_flags")
    if not isinstance(flags, list) or not torch.cuda.is_available():
        return None
    try:
        have = [torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())]
    except (RuntimeError, AssertionError):  # reported where the GPU is used
        return None
    if any(serves(flags, capability) for capability in have):
        return None
    lacking = ", ".join(f"{major}.{minor}" for major, minor in dict.fromkeys(have))
    return f"it has no kernels for compute capability {lacking}; reinstall the package here"


@functools.cache
def status() -> Status:
    """Loads the libraries on the first call. Never fails: see `Status.reason`."""
    build = _read_build()
    path, reason = _load("_C", build.get("reason"))
    if path is None:
        return Status(False, False, reason, None, build)
    cuda_path, cuda_reason = None, _unserved(build)
    if cuda_reason is None:
        cuda_path, cuda_reason = _load("_C_cuda", build.get("cuda_reason"))
    reason = None if cuda_path else f"no CUDA part: {cuda_reason}"
    return Status(True, cuda_path is not None, reason, path, build)


def implementation(device: torch.device | str = "cpu") -> str:
    """Which implementation runs for tensors on `device`.

    Returns `compiled-cpu`, `compiled-cuda` or `reference`.
    """
    kind = torch.device(device).type
    state = status()
    compiled = (kind == "cpu" and state.compiled) or (kind == "cuda" and state.cuda)
    return f"compiled-{kind}" if compiled else "reference"
