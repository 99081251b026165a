"""Runs one cell: hands a stage its detector and data, takes its measurements."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from harness.data.annotations import ImageEntry, read_annotations
from harness.data.images import read_entry
from harness.data.loader import TrainLoader, train_loader
from harness.data.source import Split
from harness.files import hash_file
from harness.model.detector import Detector
from harness.modes.runner import Calibration
from harness.plan.cells import USUAL_MODE, Cell, Plan, is_quantized
from harness.plan.fingerprints import detector_identity
from harness.plugin.declarations import Stage
from harness.plugin.metrics import Finding
from harness.records.layout import DETECTIONS, VALIDATION, detections_name
from harness.records.measurement import Measurement
from harness.run.detectors import Weighted, detections_path, load_trained
from harness.run.launch import Launch
from harness.stages.cost import measure_cost
from harness.stages.detected_elsewhere import read_detected_elsewhere, with_findings
from harness.stages.detections_file import write_detections
from harness.stages.evaluate import evaluate_detector
from harness.stages.latency import measure_latency
from harness.stages.mode_check import CheckData
from harness.stages.scoring import evaluate, read_ground_truth
from harness.stages.train.loop import train
from harness.stages.train.losses import GRAD_NORM
from harness.stages.train.result import Progress

Advance = Callable[[int, int, str], None]  # done, in all or 0 before that is known, words
Track = Callable[[Mapping[str, float], int], None]  # numbers by name, at a step
UNTRAINED = Finding("untrained")


@dataclass(frozen=True)
class StageRunner:
    """What every cell of a run shares."""

    plan: Plan
    launch: Launch

    def run(
        self, cell: Cell, weighted: Weighted, folder: Path, advance: Advance, track: Track
    ) -> tuple[list[Measurement], Weighted]:
        """Measurements of the cell, and the detector as the next stage finds it.

        Args:
            track: is told the training's numbers at each line of its log.
        """
        if cell.stage == "train":
            measured, weighted = self._train(cell, weighted, folder, advance, track)
            return self._with_recipe(cell, measured), weighted
        weighted.detector.to(self.launch.device).eval()
        if cell.stage == "latency":
            measured = self._latency(cell, weighted, folder, advance)
        elif cell.stage == "evaluate":
            measured = self._with_recipe(cell, self._evaluate(weighted, folder, advance))
        else:
            image = self._images(1)[0]
            measured = measure_cost(weighted.detector, self._meters("cost"), image)
        if not weighted.weights and cell.stage == "evaluate":  # times have a check of their own
            measured = [replace(m, warnings=(*m.warnings, UNTRAINED)) for m in measured]
        return measured, weighted

    def _with_recipe(self, cell: Cell, measured: list[Measurement]) -> list[Measurement]:
        """By which recipe the detector was trained, where it is not the suite's."""
        recipe = self.plan.training[cell.detector].recipe
        if recipe is None:
            return measured
        told = {"recipe": recipe.name}
        return [replace(m, conditions={**m.conditions, **told}) for m in measured]

    def _train(
        self, cell: Cell, weighted: Weighted, folder: Path, advance: Advance, track: Track
    ) -> tuple[list[Measurement], Weighted]:
        spec = self.plan.suite.detectors[cell.detector]
        folder.mkdir(parents=True, exist_ok=True)
        split = self.plan.source.split("train")

        def make_loader(rank: int, world: int) -> TrainLoader:
            on_gpu = self.launch.device.type == "cuda"
            return train_loader(
                split, weighted.detector.resize, spec.train, cell.seed, rank=rank, world=world,
                mean=spec.input.mean, colours_on_device=on_gpu,
            )  # fmt: skip

        def tell(progress: Progress) -> None:
            total = 0 if progress.doing else progress.total
            advance(progress.step, total, describe_progress(progress))
            told = curves_of(progress) if progress.ends_line else {}
            if progress.ends_validation:
                told |= {f"validation/{name}": v for name, v in progress.validation.items()}
            if told:
                track(told, progress.step)

        def validate(detector: Detector) -> dict[str, float]:
            return self._validate(detector, folder, spec.train.evaluate_images)

        result = train(
            weighted.detector,
            make_loader,
            spec.train,
            seed=cell.seed,
            folder=folder,
            device=self.launch.device,
            fingerprint=cell.fingerprint,
            identity=detector_identity(self.plan, cell.detector),
            resume=True,  # where an earlier attempt left something
            on_progress=tell,
            validate=validate,
            meta=self._meta(cell),
        )
        track({}, result.steps)  # of a training that was done before, nothing has been told
        notes = [Finding("checkpoint_note", params={"note": note}) for note in weighted.notes]
        measured = [replace(m, warnings=(*m.warnings, *notes)) for m in result.measurements]
        return measured, load_trained(weighted, result.checkpoint)

    def _validate(self, detector: Detector, folder: Path, images: int) -> dict[str, float]:
        """Scores of the whole detector on the first images of the validation split.

        The main score comes first; in other processes than the main one there are none.
        """
        settings, path = self.plan.suite.evaluate, folder / VALIDATION
        most = min(images, settings.max_images or images)
        try:
            measured = evaluate_detector(
                detector,
                self.plan.source.split("val"),
                settings.model_copy(update={"max_images": most}),
                self._meters("evaluate"),
                path,
            )
        finally:
            if self.launch.is_main:
                path.unlink(missing_ok=True)
        catalog = self.plan.catalog
        main = catalog.main_score
        found = {
            m.metric: m.value
            for m in measured
            if not m.scope and catalog.spec(m.metric).kind == "score"
        }
        return dict(sorted(found.items(), key=lambda item: main is None or item[0] != main.name))

    def _meta(self, cell: Cell) -> dict[str, object]:
        """What `harness predict` needs to build the detector again from its checkpoint alone."""
        spec = self.plan.suite.detectors[cell.detector]
        annotations = read_annotations(self.plan.source.split("train").annotations)
        return {
            "suite": self.plan.suite.suite,
            "detector": cell.detector,
            "spec": spec.model_dump(
                mode="json",
                exclude_none=True,  # and what a whole detector decides for itself
                exclude={"train", "recipe", *(("input",) if spec.detector is not None else ())},
            ),
            "classes": list(self.plan.classes),
            "category_ids": [int(i) for i in annotations.category_ids],
            "seed": cell.seed,
            "fingerprint": cell.fingerprint,
        }

    def _evaluate(self, weighted: Weighted, folder: Path, advance: Advance) -> list[Measurement]:
        return evaluate_detector(
            weighted.detector,
            self.plan.source.split("val"),
            self.plan.suite.evaluate,
            self._meters("evaluate"),
            folder / DETECTIONS,
            lambda done, total: advance(done, total, "images"),
        )

    def score_file(self, cell: Cell, folder: Path) -> tuple[list[Measurement], str]:
        """Measurements of a file of detections, kept in the cell's folder as our own are.

        Returns:
            the measurements, and a hash of the file.
        """
        path = detections_path(self.plan, cell.detector)
        split, settings = self.plan.source.split("val"), self.plan.suite.evaluate
        truth = read_ground_truth(split.annotations)
        chosen = truth.image_ids[: settings.max_images]
        found, findings = read_detected_elsewhere(path, truth, chosen)
        write_detections(folder / DETECTIONS, found)
        measured = evaluate(split.annotations, found, self._meters("evaluate"), chosen)
        return with_findings(measured, findings), hash_file(path)

    def _latency(
        self, cell: Cell, weighted: Weighted, folder: Path, advance: Advance
    ) -> list[Measurement]:
        settings, mode = self.plan.suite.latency, cell.mode
        quantized = is_quantized(self.plan.modes, mode)
        kept = folder / detections_name(mode) if quantized else None
        return measure_latency(
            weighted.detector,
            self._meters("latency"),
            self._images(settings.images),
            settings,
            lambda done, total: advance(done, total, "runs"),
            told=lambda phase: advance(0, 0, phase),
            mode=mode,
            check=None if mode == USUAL_MODE else self._check_data(weighted, kept),
            calibration=calibrate(
                self.plan.source.split("train"),
                settings.calibration_images,
                cell.seed,
                settings.batch_size,
            )
            if quantized
            else None,
        )

    def _check_data(self, weighted: Weighted, kept: Path | None) -> CheckData:
        """With `kept`, the file of what it finds, of a quantised mode."""
        suite, quantized = self.plan.suite, kept is not None
        count = suite.evaluate.max_images if quantized else suite.latency.check_images
        split = self.plan.source.split("val")
        annotations = read_annotations(split.annotations)
        score = self.plan.catalog.main_score
        return CheckData(
            images=Images(split, annotations.images[:count]),
            image_ids=[image.id for image in annotations.images[:count]],
            category_ids=annotations.category_ids,
            annotations=annotations.path,
            meters=[meter.make() for meter in self.plan.score_meters],
            score=score.name if score else "",
            trained=bool(weighted.weights),
            quantized=quantized,
            detections=kept,
        )

    def _meters(self, stage: Stage) -> list[Any]:
        return [m.make() for m in self.plan.meters_of(stage)]

    def _images(self, count: int) -> list[Tensor]:
        """The first images of the validation split, decoded."""
        split = self.plan.source.split("val")
        return list(Images(split, read_annotations(split.annotations).images[:count]))


@dataclass(frozen=True)
class Images(Sequence[Tensor]):
    """Images of a split, decoded when they are asked for: there may be thousands."""

    split: Split
    entries: Sequence[ImageEntry]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return read_entry(self.split.images, self.entries[place])


def calibrate(split: Split, count: int, seed: int, batch_size: int) -> Calibration:
    """Images of a split for a mode of fewer bits, drawn with a seed; all where there are fewer."""
    entries = read_annotations(split.annotations).images
    chosen = random.Random(seed).sample(entries, min(count, len(entries)))
    return Calibration(Images(split, chosen), seed, batch_size)


def curves_of(progress: Progress) -> dict[str, float]:
    """What trackers receive from a training: losses, gradient norm, learning rate and speed."""
    rates = {"lr": progress.learning_rate, "images_per_second": progress.images_per_second}
    return {f"training/{name}": value for name, value in {**progress.losses, **rates}.items()}


def describe_progress(progress: Progress) -> str:
    """Loss, speed and waiting, for the bar."""
    if progress.doing:
        return progress.doing
    if not progress.losses:
        return ""
    total = sum(value for name, value in progress.losses.items() if name != GRAD_NORM)
    score = [f"{name} {value:.3f}  " for name, value in progress.validation.items()][:1]
    told = f"loss {total:.3f}  {''.join(score)}".rstrip()
    if math.isnan(progress.images_per_second):  # before the first line of the log
        return told
    speed = f"{progress.images_per_second:.1f} images/s  waiting {progress.wait_share:.0%}"
    return f"{told}  {speed}"
