"""What a run ran on and with, so that a number can be traced back. torch is imported when asked."""

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "harness",
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "pycocotools",
    "faster-coco-eval",
    "fvcore",
    "pandas",
    "pluggy",
    "pydantic",
)
PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Environment:
    """Hardware, software and sources; equal environments have equal ids.

    Attributes:
        command: the command line.
        project_git: commit of the harness's own sources, and whether they were changed since.
        folder_git: the same of the folder that the command ran in.
        packages: distribution -> version, "" where it is not installed.
        cpu: model, cores, instruction set and memory.
        gpus: name, memory and compute capability of each.
        cuda: driver, CUDA and cuDNN versions; empty without a GPU.
        ops: which implementation of the compiled ops serves, and why not a compiled one.
        settings: of torch and of environment variables that change numbers or speed.
    """

    command: str
    project_git: Mapping[str, Any]
    folder_git: Mapping[str, Any]
    python: str
    os: str
    packages: Mapping[str, str]
    cpu: Mapping[str, Any]
    gpus: tuple[Mapping[str, Any], ...]
    cuda: Mapping[str, Any]
    ops: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Hash of everything in it."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """For environments/<id>.json, with the id first."""
        return {"id": self.id, **asdict(self)}


def describe_environment() -> Environment:
    """Look at this machine and this process."""
    return Environment(
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        project_git=git_state(PROJECT, tracked="__init__.py"),
        folder_git=git_state(Path.cwd()),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        os=platform.platform(),
        packages={name: _version(name) for name in PACKAGES},
        cpu=_cpu(),
        gpus=_gpus(),
        cuda=_cuda(),
        ops=_ops(),
        settings=_settings(),
    )


def git_state(folder: Path, tracked: str | None = None) -> dict[str, Any]:
    """Commit that a folder is at and whether tracked files differ from it; empty without git.

    Args:
        tracked: a file that the repository must know; an installed package may lie inside
            somebody else's working tree.
    """
    if tracked is not None and _git(folder, "ls-files", "--error-unmatch", tracked) is None:
        return {}
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return {}
    return {"commit": commit, "dirty": bool(changes)}


def cpu_model() -> str:
    """The processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> set[int]:
    """Numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command, None when it fails or there is no git."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _cpu() -> dict[str, Any]:
    import psutil
    import torch

    return {
        "model": cpu_model(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "usable_threads": len(usable_cores()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }


def _gpus() -> tuple[dict[str, Any], ...]:
    import torch

    if not torch.cuda.is_available():
        return ()
    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return tuple(
        {
            "name": gpu.name,
            "memory_gib": round(gpu.total_memory / 2**30, 1),
            "capability": f"{gpu.major}.{gpu.minor}",
        }
        for gpu in found
    )


def _cuda() -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        return {}
    cudnn: Any = torch.backends.cudnn
    return {"driver": _driver(), "cuda": torch.version.cuda, "cudnn": cudnn.version()}


def _driver() -> str | None:
    """Version of NVIDIA's driver, None where its library cannot be asked."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _ops() -> dict[str, Any]:
    from harness.ops import implementation, status

    return {
        "cpu": implementation("cpu"),
        "cuda": implementation("cuda"),
        "reason": status().reason,
    }


def _settings() -> dict[str, Any]:
    import torch

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTORCH_ALLOC_CONF")
    return {
        "torch_threads": torch.get_num_threads(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        **{name: os.environ[name] for name in names if name in os.environ},
    }
