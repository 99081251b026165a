"""Everything that the detections of one detector under one seed say, kept beside them.

Kept as JSON, with the draws of the bootstrap beside it as one array, so that each analysis is made
once and read fast.
"""

import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from harness.errors import UserError
from harness.files import write_atomic, write_text
from harness.manifest.schema import Report
from harness.plugin.metrics import Scoring
from harness.results.ap.boxes import MAX_DETECTIONS, Floats, build_scene
from harness.results.ap.misses import find_misses
from harness.results.ap.precision import measure_precision
from harness.results.ap.tide import measure_errors
from harness.results.ap.types import CellAnalysis, ErrorKind, Misses, Sampled, SizeBin
from harness.stages.inputs import EvaluationInput

DRAWS = ".npz"
# what reading a file that somebody else wrote, or that was cut short, may raise
SPOILT = (
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, StopIteration,
    BadZipFile, zlib.error,
)  # fmt: skip


def analyse_cell(
    given: EvaluationInput,
    resize: Mapping[str, Any] | None,
    settings: Report,
    metrics: Mapping[str, Scoring],
    limit: int = MAX_DETECTIONS,
) -> CellAnalysis:
    """Scores on resampled images, curves, error kinds and misses.

    Args:
        given: detections and the ground truth of the images they were looked for in.
        resize: how images came into the network (`Resize.describe`), None where unknown: then
            there is no curve over sizes at the network's input.
        settings: resamples, size ranges and bins.
        metrics: name -> what to compute for it.
        limit: detections of a class that count in an image.
    """
    truth, scene = given.ground_truth, build_scene(given, resize, limit)
    del given  # hundreds of MB, if it is not the caller's as well
    found = measure_precision(truth, scene, settings, metrics)
    errors, misses = measure_errors(scene), find_misses(scene, sorted(truth.image_ids))
    return CellAnalysis(**vars(found), errors=errors, misses=misses)


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
    draws: list[Floats] = []
    text = json.dumps({"key": key, "analysis": _plain(made, draws)}) + "\n"
    packed = io.BytesIO()
    np.savez(packed, key=np.array(key), draws=np.stack(draws))
    try:
        write_atomic(path.with_suffix(DRAWS), packed.getbuffer())
        write_text(path, text)
    except UserError as error:
        return made, f"the analysis is not kept: {error.found}"
    return made, ""


def _load(path: Path, key: str) -> CellAnalysis | None:
    """None where there is none of these inputs, or one that an older version wrote."""
    try:
        content = json.loads(path.read_bytes())
        if content["key"] != key:
            return None
        with np.load(io.BytesIO(path.with_suffix(DRAWS).read_bytes())) as kept:
            if str(kept["key"]) != key:
                return None
            return _restore(content["analysis"], iter(kept["draws"]))
    except SPOILT:
        return None


def _plain(value: Any, draws: list[Floats]) -> Any:
    """As JSON takes it; the draws are taken out, in the order in which `_restore` puts them in."""
    if isinstance(value, Sampled):
        draws.append(value.draws)
        return {"value": value.value, "count": value.count, "images": value.images}
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name), draws) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item, draws) for key, item in value.items()}
    return [_plain(item, draws) for item in value] if isinstance(value, tuple) else value


def _restore(plain: Mapping[str, Any], draws: Iterator[Any]) -> CellAnalysis:
    def sampled(entry: Mapping[str, Any]) -> Sampled:
        return Sampled(entry["value"], next(draws), entry["count"], entry["images"])

    def size_bin(entry: Mapping[str, Any]) -> SizeBin:
        own: dict[str, Any] = {
            k: sampled(v) if isinstance(v, dict) else v for k, v in entry.items()
        }
        return SizeBin(**own)

    return CellAnalysis(
        pairing=plain["pairing"],
        metrics={name: sampled(entry) for name, entry in plain["metrics"].items()},
        classes={name: sampled(entry) for name, entry in plain["classes"].items()},
        curves={frame: tuple(map(size_bin, bins)) for frame, bins in plain["curves"].items()},
        recall=tuple(plain["recall"]),
        precision={level: tuple(values) for level, values in plain["precision"].items()},
        errors=tuple(
            ErrorKind(e["name"], e["count"], e["cost"],
                      {size: (n, cost) for size, (n, cost) in e["by_size"].items()})
            for e in plain["errors"]
        ),
        misses=tuple(Misses(**entry) for entry in plain["misses"]),
    )  # fmt: skip
