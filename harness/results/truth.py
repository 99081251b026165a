"""The validation split that a run was evaluated on, found again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.folder import CocoFolder
from harness.data.source import DataSource
from harness.errors import UserError
from harness.plugin.manager import load_plugins
from harness.stages.inputs import GroundTruth
from harness.stages.scoring import read_ground_truth


@dataclass(frozen=True)
class Validation:
    """What of the split is still there, and notes on what is not."""

    truth: GroundTruth | None
    images: Path | None
    annotations: Path | None
    notes: tuple[str, ...]


def find_validation(plan: Mapping[str, Any], data_root: str | None = None) -> Validation:
    """Ground truth and images of a run's validation split.

    Args:
        plan: of the run folder.
        data_root: a COCO-format folder in place of the one that the run used.

    Raises:
        UserError: `data_root` has no such split, or its annotations are broken.
    """
    if data_root is not None:
        split = CocoFolder(data_root).split("val")
        truth = read_ground_truth(split.annotations)
        return Validation(truth, split.images, split.annotations, ())
    try:
        images, annotations = _paths(plan)
        truth = read_ground_truth(annotations)
    except UserError as error:
        return Validation(None, None, None, (f"the validation data cannot be read: {error}",))
    if not images.is_dir():
        missing = f"the validation images are not at {images}"
        return Validation(truth, None, annotations, (missing,))
    return Validation(truth, images, annotations, ())


def _paths(plan: Mapping[str, Any]) -> tuple[Path, Path]:
    """Folder of the images, annotation file."""
    if "splits" in plan:
        places = plan["splits"]["val"]
        return Path(places["images"]), Path(places["annotations"])
    # runs of harness 0.1 kept no paths
    params = dict(plan["data"])
    entry = load_plugins().get("dataset", params.pop("use"), where="plan.json data")
    source: DataSource = entry.declaration.load()(**params)
    split = source.split("val")
    return split.images, split.annotations
