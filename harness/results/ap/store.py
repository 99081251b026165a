"""Analyses beside the detections that they are of, so that each is made once."""

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.errors import UserError
from harness.files import write_text
from harness.results.ap.types import CellAnalysis

_ADAPTER = TypeAdapter(CellAnalysis)


def load_or_make(
    path: Path, key: str, make: Callable[[], CellAnalysis]
) -> tuple[CellAnalysis, str]:
    """The kept analysis if it is of the same inputs, otherwise a new one, which is then kept.

    Args:
        key: hash of all inputs.

    Returns:
        the analysis, and why it could not be kept ("" when it could): a run that somebody else
        owns can still be read.
    """
    kept = _load(path, key)
    if kept is not None:
        return kept, ""
    made = make()
    text = f'{{"key": {json.dumps(key)}, "analysis": {_ADAPTER.dump_json(made).decode()}}}\n'
    try:
        write_text(path, text)
    except UserError as error:
        return made, f"the analysis is not kept: {error.found}"
    return made, ""


def _load(path: Path, key: str) -> CellAnalysis | None:
    """None where there is none of these inputs, or one that an older version wrote."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        if content["key"] != key:
            return None
        return _ADAPTER.validate_python(content["analysis"])
    except (ValueError, KeyError, TypeError, ValidationError):
        return None
