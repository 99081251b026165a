"""`harness doctor`: what is here, what is not, and why."""

import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from harness.data.folder import CocoFolder
from harness.errors import UserError
from harness.plugin.manager import load_plugins
from harness.records.environment import PACKAGES


@dataclass(frozen=True)
class Diagnosis:
    """One line of the diagnosis; `bad` is what will stop a run."""

    level: Literal["ok", "note", "bad"]
    what: str
    found: str


def diagnose(plugins: Sequence[str], data: str | None, *, thorough: bool) -> list[Diagnosis]:
    """Every finding, good and bad; nothing raises for what it is there to find."""
    python = f"{platform.python_version()} on {platform.platform()} ({sys.executable})"
    return [
        Diagnosis("ok", "python", python),
        *_packages(),
        *_ops(),
        *_gpus(),
        *_plugins(plugins),
        *(_data(data, thorough) if data is not None else ()),
    ]


def _packages() -> Iterator[Diagnosis]:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Diagnosis("ok", "packages", ", ".join(found))
    if missing:
        yield Diagnosis("bad", "packages", f"not installed: {', '.join(missing)}")


def _ops() -> Iterator[Diagnosis]:
    from harness.ops import implementation, status

    state = status()
    where = f"{implementation('cpu')}, from {state.path}" if state.compiled else "pure PyTorch"
    yield Diagnosis("ok" if state.compiled else "note", "ops on CPU", where + _why(state.reason))
    gpu = "compiled" if state.cuda else "not compiled"
    yield Diagnosis("ok" if state.cuda else "note", "ops on CUDA", gpu + _why(state.reason))


def _why(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _gpus() -> Iterator[Diagnosis]:
    """Each GPU that is listed as ok has computed something; the others' lines say why not."""
    import torch

    from harness.run.device_errors import check_cuda
    from harness.run.launch import unused_gpu

    if not torch.cuda.is_available():
        why = unused_gpu() or "none that torch can use"
        yield Diagnosis("note", "GPU", f"{why}; latency will be the CPU's")
        return
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        try:
            check_cuda(device)
        except UserError as error:
            yield Diagnosis("bad", f"GPU {index}", error.found)
            continue
        name = torch.cuda.get_device_name(device)
        major, minor = torch.cuda.get_device_capability(device)
        about = f"compute capability {major}.{minor}, CUDA {torch.version.cuda}"
        yield Diagnosis("ok", f"GPU {index}", f"{name}, {about}")


def _plugins(extra: Sequence[str]) -> Iterator[Diagnosis]:
    try:
        registry = load_plugins(extra)
    except UserError as error:
        yield Diagnosis("bad", "plugins", str(error))
        return
    yield Diagnosis("ok", "plugins", ", ".join(p.name for p in registry.providers))
    for failed in registry.failed:
        yield Diagnosis("bad", "plugin", f"'{failed.name}' failed to load: {failed.error}")


def _data(root: str, thorough: bool) -> Iterator[Diagnosis]:
    folder = CocoFolder(root)
    try:
        layout, splits = folder.layout, folder.splits()
    except UserError as error:
        yield Diagnosis("bad", "data", str(error))
        return
    yield Diagnosis("ok", "data layout", layout)
    for split in splits:
        try:
            notes = folder.check(split.name, thorough=thorough)
        except UserError as error:
            yield Diagnosis("bad", f"data {split.name}", str(error))
            continue
        yield Diagnosis("ok", f"data {split.name}", str(split.annotations))
        for note in notes:
            yield Diagnosis("note", f"data {split.name}", note)
