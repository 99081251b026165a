"""Files of detections as a run of their own, made by whatever detector: for `score` and `compare`.

Nothing is written: records, analyses and estimates are those of a run with a detector for each
file, whose only stage was the evaluation.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import hash_file
from harness.manifest.schema import Report
from harness.plan.cells import FILE_SEED
from harness.plugin.catalog import Catalog
from harness.plugin.declarations import Meter
from harness.plugin.manager import loaded_plugins
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.results.ap.types import CellAnalysis
from harness.results.run import Place, Run
from harness.results.run_folder import analyse_file, report_settings
from harness.stages.detected_elsewhere import read_detected_elsewhere, with_findings
from harness.stages.inputs import EvaluationInput, EvaluationMeter
from harness.stages.scoring import read_ground_truth, restrict

HEAD = 64  # bytes that tell a list from a mapping


def is_detections(path: Path) -> bool:
    """Whether a file holds a JSON list, as COCO's result format is one."""
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(HEAD).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def run_of_files(
    files: Mapping[str, Path],
    annotations: Path,
    meters: Sequence[EvaluationMeter],
    catalog: Catalog,
    settings: Report | None = None,
    max_images: int | None = None,
) -> Run:
    """Score files on one set of annotations.

    Args:
        files: name -> file in COCO's result format.
        catalog: of what the meters write.
        max_images: score on the first images alone.

    Raises:
        UserError: a file cannot be read, or is not of these images.
    """
    truth, settings = read_ground_truth(annotations), settings or Report()
    chosen = truth.image_ids[:max_images]
    records: list[Record] = []
    analyses: dict[Place, CellAnalysis] = {}
    for name, path in files.items():
        detections, findings = read_detected_elsewhere(path, truth, chosen)
        given = restrict(EvaluationInput(truth, detections), chosen)
        measured = with_findings([one for meter in meters for one in meter(given)], findings)
        records += _records(name, path, measured, catalog)
        found = analyse_file(given, measured, settings, catalog)
        if found is not None:
            analyses[name, FILE_SEED] = found
    plan = {
        "detectors": {name: {"detections": str(path)} for name, path in files.items()},
        "evaluate": {"max_images": max_images},
    }
    return Run(
        folder=next(iter(files.values())).parent,
        plan=plan,
        records=tuple(records),
        catalog=catalog,
        analyses=analyses,
        truth=truth,
        annotations=annotations,
    )


def run_like(run: Run, path: Path, resamples: int | None = None) -> Run:
    """A file scored as a run's detectors were: on its images, by its meters.

    Args:
        resamples: in place of the run's own, as the run itself was read with.

    Raises:
        UserError: what the run was scored on is gone, or the file is not of its images.
    """
    if run.annotations is None:
        hint = "; ".join(run.notes) or "it has no plan"
        raise UserError("does not say on what to score", where=run.folder, hint=hint)
    settings = report_settings(run.plan, run.folder, resamples)
    meters = list(_meters(run))
    limit = run.plan.get("evaluate", {}).get("max_images")
    return run_of_files({path.stem: path}, run.annotations, meters, run.catalog, settings, limit)


def _meters(run: Run) -> Iterator[EvaluationMeter]:
    registry = loaded_plugins()
    for used in run.plan.get("meters", ()):
        declaration = registry.get("meter", used["use"], where=run.folder).declaration
        if isinstance(declaration, Meter) and declaration.stage == "evaluate":
            params = declaration.params.model_validate(used["params"])
            yield declaration.load()(**params.model_dump())


def _records(
    name: str, path: Path, measured: Sequence[Measurement], catalog: Catalog
) -> Iterator[Record]:
    common: dict[str, Any] = {
        "run": "", "detector": name, "seed": FILE_SEED, "stage": "evaluate", "fingerprint": "",
        "time": time.time(), "environment": "", "weights": hash_file(path),
    }  # fmt: skip
    for measurement in measured:
        yield Record.of(measurement, catalog.spec(measurement.metric), **common)
    yield Record(kind="cell", **common)
