"""`harness doctor`: what is here, what is not, and why."""

import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from harness.data.audit import audit
from harness.data.faults import Fault
from harness.data.folder import CocoFolder
from harness.errors import UserError
from harness.plugin.manager import load_plugins
from harness.records.environment import PACKAGES

Level = Literal["ok", "note", "bad"]


@dataclass(frozen=True)
class Diagnosis:
    """One line of the diagnosis; `bad` is what will stop a run. `examples` are lines below it."""

    level: Level
    what: str
    found: str
    examples: tuple[str, ...] = ()


def diagnose(plugins: Sequence[str], data: str | None, *, thorough: bool) -> list[Diagnosis]:
    """Every finding, good and bad; nothing raises for what it is there to find.

    Of data the last line is a verdict.
    """
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
    try:
        found = audit(CocoFolder(root), thorough)
    except UserError as error:
        yield Diagnosis("bad", "data", str(error))
        yield Diagnosis("bad", "verdict", "not trainable and not evaluable, see above.")
        return
    yield Diagnosis("ok", "data layout", found.layout)
    for split in found.splits:
        level: Level = "ok" if split.is_usable else "bad"
        read = split.annotations
        counted = f", {len(read.images)} images, {len(read.objects)} boxes" if read else ""
        yield Diagnosis(level, f"data {split.name}", f"{split.labels}{counted}")
        yield from (_of_fault(fault, f"data {split.name}") for fault in split.faults)
    yield from (_of_fault(fault, "data") for fault in found.faults)
    good = found.is_trainable and found.is_evaluable
    yield Diagnosis("ok" if good else "bad", "verdict", found.verdict())


def _of_fault(fault: Fault, what: str) -> Diagnosis:
    more = fault.count - len(fault.examples)
    shown = (*fault.examples, *([f"and {more} more"] if fault.examples and more > 0 else []))
    return Diagnosis("bad" if fault.stops else "note", what, fault.line, shown)
