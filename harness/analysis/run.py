"""A run as it lies on disk, with everything derived from it. No model, no GPU."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis.types import CellAnalysis
from harness.records.record import Record
from harness.stages.inputs import GroundTruth

Place = tuple[str, int]  # detector, seed


@dataclass(frozen=True, eq=False)
class Run:
    """One run folder.

    Attributes:
        plan: its plan.json.
        environments: environment id -> content of its file.
        records: every line of records.jsonl, with raw samples.
        frame: `harness.records.frame.to_frame` of them.
        analyses: of every cell whose detections could be read and scored again.
        training: lines of each train_log.jsonl.
        truth: ground truth of the validation split, None where it is gone or has changed.
        images: folder of the validation images, None where it is gone.
        notes: what could not be derived, and why, one line each.
    """

    folder: Path
    plan: Mapping[str, Any]
    environments: Mapping[str, Mapping[str, Any]]
    records: tuple[Record, ...]
    frame: pd.DataFrame
    analyses: Mapping[Place, CellAnalysis]
    training: Mapping[Place, tuple[Mapping[str, Any], ...]]
    truth: GroundTruth | None
    images: Path | None
    notes: tuple[str, ...]

    @property
    def run_id(self) -> str:
        return self.folder.name

    @property
    def detectors(self) -> tuple[str, ...]:
        """In the order of the suite."""
        return tuple(self.plan["detectors"])

    def analyses_of(self, detector: str) -> list[CellAnalysis]:
        """One a seed, in the order of seeds."""
        places = sorted(place for place in self.analyses if place[0] == detector)
        return [self.analyses[place] for place in places]

    def detections_file(self, detector: str, seed: int) -> Path:
        return self.folder / "cells" / detector / f"seed{seed}" / "detections.json"


def read_run(folder: Path) -> Run:
    """Read a run folder and analyse what is new in it.

    Raises:
        UserError: the folder holds no run, or its files cannot be read.
    """
    raise NotImplementedError
