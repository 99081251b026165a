"""Loads weights from files that may be old, partial, foreign or hostile."""

import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.files import hash_file

# where programs put the weights of a checkpoint, averaged ones first
WRAPPERS = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model")
# of the names within it, averaged ones first: what holds both is read for those
PREFIXES = (
    "avg_model.",
    "model_ema.",
    "ema.",
    "model.",
    "module.",
    "_orig_mod.",
    "model._orig_mod.",
)
SHOWN = 3  # names listed in an error line; the report has them all


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        state: names (without `module.`) -> tensors.
        meta: what the writer added, or empty.
        sha256: of the file's bytes, first 16 digits.
    """

    path: Path
    state: Mapping[str, Tensor]
    meta: Mapping[str, Any]
    sha256: str


@dataclass(frozen=True)
class LoadReport:
    """What matched and, by name, what did not."""

    loaded: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not (self.missing or self.unexpected or self.mismatched)

    def lines(self) -> list[str]:
        """One line per name that did not match."""
        return [
            *(f"missing in the file: {name}" for name in self.missing),
            *(f"unknown to the detector: {name}" for name in self.unexpected),
            *(f"shape differs: {name}" for name in self.mismatched),
        ]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a raw state dict, or a mapping with one of `WRAPPERS` and perhaps "meta".

    Only tensors and plain containers are unpickled (`weights_only`), so that a file cannot run
    code.

    Raises:
        UserError: missing, unreadable, corrupt, hostile, or without a state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError("no such checkpoint", where=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd pickles, which are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for files of other programs
        raise _unreadable(path, error) from error
    state, meta = _split(content, path)
    return Checkpoint(path, state, meta, hash_file(path))


def load_weights(module: nn.Module, checkpoint: Checkpoint) -> LoadReport:
    """Load what matches by name and shape; buffers that count batches may be absent.

    Raises:
        UserError: nothing matches.
    """
    fits, report = _compare(module, checkpoint)
    module.load_state_dict(fits, strict=False)
    return report


def _compare(
    module: nn.Module, checkpoint: Checkpoint, spared: tuple[str, ...] = ()
) -> tuple[dict[str, Tensor], LoadReport]:
    """What fits, and what does not; names that begin like one of `spared` may be missing."""
    own = module.state_dict()
    state = _unwrapped(own, checkpoint.state)
    fits = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    mismatched = tuple(
        f"{k} ({tuple(v.shape)} in the file, {tuple(own[k].shape)} here)"
        for k, v in state.items()
        if k in own and own[k].shape != v.shape
    )
    needed = (k for k in own if _matters(k) and not k.startswith(spared))
    report = LoadReport(
        loaded=len(fits),
        missing=tuple(k for k in needed if k not in state),
        unexpected=tuple(k for k in state if k not in own),
        mismatched=mismatched,
    )
    if not fits:
        raise UserError(
            f"matches nothing in this detector: it has {_some(list(checkpoint.state))}, "
            f"the detector {_some(list(own))}",
            where=checkpoint.path,
        )
    return fits, report


def load_detector(module: nn.Module, checkpoint: Checkpoint) -> LoadReport:
    """`load_weights` for a file that must match this detector completely.

    Only what the detector has for its training (`Detector.training_only`) may be missing.

    Raises:
        UserError: a name or a shape does not match; the detector is unchanged.
    """
    spared: tuple[str, ...] = getattr(module, "training_only", ())
    fits, report = _compare(module, checkpoint, spared)
    if not report.complete:
        lines = report.lines()
        raise UserError(
            f"is for another detector: {report.loaded} entries match, {len(lines)} do not: "
            + "; ".join(lines[:SHOWN])
            + (f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""),
            where=checkpoint.path,
            hint="check the detector's name and its number of classes",
        )
    module.load_state_dict(fits, strict=False)
    return report


def load_backbone(
    backbone: nn.Module, checkpoint: Checkpoint, place: str = "backbone"
) -> LoadReport:
    """Backbone weights from an ImageNet file or from a whole detector's.

    Names count as they are or below `place`, its path in a detector; entries of a classifier are
    listed as unexpected.
    """
    below = (_below(f"{prefix}{place}.", checkpoint.state) for prefix in ("", *PREFIXES))
    inside = next(filter(None, below), checkpoint.state)
    return load_weights(backbone, replace(checkpoint, state=inside))


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries whose names start with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _unwrapped(own: Collection[str], state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The state as it is, or what is below a wrapper's prefix, whichever knows more names.

    A detector that wraps another program's has a first part in all its names, which that
    program's files lack.
    """
    views = [state, *(_below(prefix, state) for prefix in PREFIXES)]
    first = {name.partition(".")[0] for name in own}
    if len(first) == 1:
        part = first.pop()
        views += [{f"{part}.{name}": v for name, v in view.items()} for view in views]
    return max(views, key=lambda view: sum(name in own for name in view))


def _split(content: Any, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    meta: dict[str, Any] = {}
    if isinstance(content, Mapping):
        found = content.get("meta")
        wrapped = next((k for k in WRAPPERS if _holds_tensors(content.get(k))), None)
        if wrapped is not None:
            meta = dict(found) if isinstance(found, Mapping) else {}
            content = content[wrapped]
    if not isinstance(content, Mapping) or not content:
        raise UserError(
            f"holds {'nothing' if content == {} else type(content).__name__}, not a state dict",
            where=path,
            hint=f"a state dict, or one below {', '.join(map(repr, WRAPPERS))}",
        )
    odd = [k for k, v in content.items() if not (isinstance(k, str) and isinstance(v, Tensor))]
    if odd:
        raise UserError(f"has an entry that is not a tensor: {odd[0]!r}", where=path)
    return {k.removeprefix("module."): v for k, v in content.items()}, meta


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(v, Tensor) for v in value.values())


def _matters(name: str) -> bool:
    # files written before PyTorch 0.4.1 lack this counter, and nothing in inference reads it
    return not name.endswith("num_batches_tracked")


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, OSError) and error.strerror:
        return UserError(f"cannot be read: {error.strerror}", where=path)
    forbidden = re.search(r"GLOBAL ([\w.]+)", str(error))
    if forbidden:
        return UserError(
            f"holds '{forbidden[1]}', more than tensors and plain values, so it was not loaded "
            "(it could run code)",
            where=path,
            hint="save only the state dict: torch.save(model.state_dict(), path)",
        )
    return UserError(
        "is not a checkpoint that torch can read (damaged, or something else)", where=path
    )
