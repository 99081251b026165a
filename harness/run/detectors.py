"""Builds a cell's detector and gives it the right weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.errors import UserError
from harness.files import hash_file
from harness.model.assemble import assemble
from harness.model.checkpoint import (
    LoadReport,
    load_backbone,
    load_detector,
    load_weights,
    read_checkpoint,
)
from harness.model.detector import Detector
from harness.plan.cells import Plan


@dataclass(frozen=True)
class Weighted:
    """A detector with what is known of its weights.

    Attributes:
        weights: hash of the file they came from, "" for random ones.
        notes: what a reader of its numbers must know.
    """

    detector: Detector
    weights: str
    notes: tuple[str, ...] = ()


def build_detector(plan: Plan, name: str, seed: int) -> Weighted:
    """A detector of the plan with the weights that its manifest names, else random ones."""
    spec = plan.suite.detectors[name]
    torch.manual_seed(seed)
    detector = assemble(spec, plan.parts[name], plan.classes, where=f"detectors.{name}")
    if spec.checkpoint is not None:
        checkpoint = read_checkpoint(spec.checkpoint)
        if "train" not in plan.suite.stages:
            load_detector(detector, checkpoint)
            return Weighted(detector, checkpoint.sha256)
        # training may start from weights for other classes; what did not fit is listed
        report = load_weights(detector, checkpoint)
        return Weighted(detector, checkpoint.sha256, _notes(report, spec.checkpoint))
    if spec.backbone_checkpoint is not None:
        checkpoint = read_checkpoint(spec.backbone_checkpoint)
        (place,) = detector.roles["backbone"]
        report = load_backbone(detector.get_submodule(place), checkpoint, place)
        return Weighted(detector, "", _notes(report, spec.backbone_checkpoint))
    return Weighted(detector, "")


def detections_path(plan: Plan, name: str) -> Path:
    """The file that stands for a detector of the plan.

    Raises:
        UserError: the detector is one that is built.
    """
    path = plan.suite.detectors[name].detections
    if path is None:
        raise UserError("is not a file of detections", where=f"detectors.{name}")
    return Path(path)


def load_trained(weighted: Weighted, checkpoint: Path) -> Weighted:
    """The same detector with the weights of a finished training."""
    load_detector(weighted.detector, read_checkpoint(checkpoint))
    return Weighted(weighted.detector, hash_file(checkpoint), weighted.notes)


def _notes(report: LoadReport, path: str) -> tuple[str, ...]:
    lines: Sequence[str] = report.lines()
    return (f"{path}: {report.loaded} entries loaded, {len(lines)} not", *lines) if lines else ()
