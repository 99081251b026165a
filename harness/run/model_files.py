"""`harness export-model`: a detector's segments as files of a runtime, and what surrounds them."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import CellError, UserError, near_names
from harness.files import write_json
from harness.model.checkpoint import load_detector, read_checkpoint
from harness.model.detector import Detector
from harness.modes.build import find_mode, unavailable
from harness.plan.cells import Plan
from harness.run.building import class_names
from harness.run.detectors import build_detector
from harness.run.stages import calibrate
from harness.stages.context import evaluating

MODEL = "model.json"
CPU = torch.device("cpu")


def write_model(
    plan: Plan,
    name: str,
    checkpoint: Path,
    mode: str,
    out: Path,
    *,
    batch_size: int = 1,
    seed: int = 0,
) -> list[str]:
    """Write the files of one mode, and `model.json` beside them.

    Args:
        plan: with the detector and the mode.
        seed: draws the training images for a mode that is quantised.

    Returns:
        the names of the files.

    Raises:
        UserError: the folder exists, the mode has no files or is not to be had, the checkpoint
            does not fit, or the detector cannot be exported.
    """
    declared = find_mode(mode)
    runtime: Any = declared.load()()
    if not hasattr(runtime, "save"):
        known = [one for one in plan.modes if one != mode]
        raise UserError(f"the mode '{mode}' has no files to write", hint=near_names(mode, known))
    if reason := unavailable(mode, "float32", CPU):
        raise UserError(f"the mode '{mode}' cannot be exported here: {reason}")
    detector = _load(plan, name, checkpoint)
    more: dict[str, Any] = {}
    if declared.quantized:
        plan.source.prepare()
        count = plan.suite.latency.calibration_images
        more["calibration"] = calibrate(plan.source.split("train"), count, seed, batch_size)
    try:
        out.mkdir(parents=True)
    except FileExistsError as error:
        raise UserError("is there already", where=out, hint="another --out") from error
    except OSError as error:
        raise UserError(f"cannot be made: {error.strerror}", where=out) from error
    try:
        with evaluating(detector):
            saved = runtime.save(detector, out, batch_size, **more)
    except BaseException as error:
        shutil.rmtree(out)
        if isinstance(error, CellError):
            raise UserError(str(error), where=name) from error
        raise
    about = {"detector": name, "mode": mode, **saved, **describe(detector)}
    write_json(out / MODEL, about)
    return [*saved["files"], MODEL]


def describe(detector: Detector) -> dict[str, Any]:
    """Classes, how images become inputs, and how detections are selected, as plain data."""
    return {
        "classes": list(detector.classes),
        "input": dict(detector.resize.describe()),
        "normalize": _normalisation(detector),
        **detector.selection,
    }


def _normalisation(detector: Detector) -> dict[str, Any]:
    """The affine map of a pixel that `normalize` is: matrix (3, 3) and offset, RGB in 0..255."""

    def of(pixel: Sequence[int]) -> Tensor:
        values = torch.tensor(pixel, dtype=torch.uint8)[None, :, None, None]
        return detector.normalize(values).double().flatten()

    with torch.no_grad():
        offset = of((0, 0, 0))
        columns = [(of(pure) - offset) / 255 for pure in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    return {"matrix": torch.stack(columns, 1).tolist(), "offset": offset.tolist()}


def _load(plan: Plan, name: str, path: Path) -> Detector:
    checkpoint = read_checkpoint(path)
    names = class_names(checkpoint)
    chosen = plan if names is None else replace(plan, classes=tuple(names))
    detector = build_detector(chosen, name, seed=0).detector
    load_detector(detector, checkpoint)
    return detector.eval()
