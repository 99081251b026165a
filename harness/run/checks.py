"""What is checked before anything is trained."""

from collections.abc import Collection

from harness.data.annotations import Annotations, read_annotations
from harness.data.folder import check_same_classes, check_split
from harness.data.source import Split, SplitName
from harness.data.training_images import tell_background
from harness.errors import UserError
from harness.plan.cells import Plan, is_quantized
from harness.report.terminal import note
from harness.run.detectors import build_detector, detections_path
from harness.run.launch import Launch
from harness.stages.detected_elsewhere import read_detected_elsewhere
from harness.stages.metrics import METRICS
from harness.stages.scoring import read_ground_truth
from harness.stages.train.launch import check_device

DECODED_FIRST = 1000  # images up to which every file of a split is decoded


def check_data(plan: Plan, launch: Launch) -> None:
    """Read the annotations of the splits in use and find their image files.

    Raises:
        UserError: wrong annotations, missing or broken images, splits of different classes.
    """
    splits = used_splits(plan)
    read = [read_annotations(split.annotations) for split in splits]
    check_same_classes(read[0], read[-1])
    for split, annotations in zip(splits, read, strict=True):
        few = len(annotations.images) <= DECODED_FIRST
        for warning in check_split(split, thorough=few and launch.is_main):
            if launch.is_main:
                note(f"{split.name} data: {warning}")
        if split.name == "train" and launch.is_main:
            tell_of_background(plan, annotations)


def tell_of_background(plan: Plan, annotations: Annotations) -> None:
    """Note what becomes of images without objects, by each setting of the plan's trainings."""
    trained = {cell.detector for cell in plan.cells if cell.stage == "train"}
    every = [plan.suite.detectors[name].train.background for name in sorted(trained)]
    for background in dict.fromkeys(every):
        told = tell_background(annotations, background)
        if told:
            note(f"train data: {told}")


def used_splits(plan: Plan) -> list[Split]:
    """The validation split, and before it that for training if anything is trained on it.

    Or quantised by its images.
    """
    trains = any(
        cell.stage == "train" or (cell.mode and is_quantized(plan.modes, cell.mode))
        for cell in plan.cells
    )
    names: tuple[SplitName, ...] = ("train", "val") if trains else ("val",)
    return [plan.source.split(name) for name in names]


def check_detectors(plan: Plan, names: Collection[str], launch: Launch) -> None:
    """Assemble these detectors once: parts that do not fit and bad checkpoints are found here.

    So are files of detections that do not fit the validation images.

    Raises:
        UserError: as `build_detector` and `read_detected_elsewhere`.
    """
    for name in plan.parts:
        if name not in names:
            continue
        if plan.suite.detectors[name].detections is not None:
            truth = read_ground_truth(plan.source.split("val").annotations)
            chosen = truth.image_ids[: plan.suite.evaluate.max_images]
            _, findings = read_detected_elsewhere(detections_path(plan, name), truth, chosen)
            if launch.is_main:
                for finding in findings:  # here as well, as the table with them may be hours away
                    note(f"detector {name}: {METRICS.word(finding)}")
            continue
        try:
            build_detector(plan, name, seed=0)
        except UserError:
            raise
        except Exception:  # a plugin's bug is its own cell's, which records it with its traceback
            continue


def check_training(plan: Plan, launch: Launch) -> None:
    """Find settings of a training that the device does not support.

    Raises:
        UserError: as `check_device`, with the detector's name.
    """
    for name in {cell.detector: None for cell in plan.cells if cell.stage == "train"}:
        try:
            check_device(plan.suite.detectors[name].train, launch.device)
        except UserError as error:
            where = f"detectors.{name}.{error.where}"
            raise UserError(error.found, where=where, hint=error.hint) from error
