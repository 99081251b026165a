"""What of a suite must fit together: its meters, and the names that it uses."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.errors import UserError, near_names
from harness.manifest.reader import Place
from harness.manifest.schema import Suite
from harness.manifest.suite import Manifest
from harness.plan.cells import MeterPart, catalog_of

METERED = ("evaluate", "cost", "latency")  # stages that hand meters their input
NO_DETECTOR = "the suite has no detector '{}'"
NO_METRIC = "no meter of this suite writes the metric '{}'"
NO_BASE = "'{}' is neither a detector of the suite nor a run"


def check_name(
    name: str, known: Iterable[str], message: str, where: str, *, hint: str = ""
) -> None:
    """Raises UserError with the message, which takes the name; by default hints at the nearest."""
    known = list(known)
    if name not in known:
        raise UserError(message.format(name), where=where, hint=hint or near_names(name, known))


def check_meters(meters: Sequence[MeterPart], place: Place) -> None:
    """Raises UserError unless each is of a stage that asks meters, and no two write a metric."""
    writers: dict[str, MeterPart] = {}
    for i, meter in enumerate(meters):
        where = place(("meters", i))
        if meter.stage not in METERED:
            raise UserError(
                f"{_described(meter)} is of the stage '{meter.stage}', which asks no meters",
                where=where,
                hint=near_names(meter.stage, list(METERED)),
            )
        for metric in (spec.name for spec in meter.specs):
            other = writers.setdefault(metric, meter)
            if other is not meter:
                both = f"{_described(other)} and {_described(meter)}"
                raise UserError(
                    f"the metric '{metric}' is written by two meters: {both}",
                    where=where,
                    hint="leave one of them out",
                )


def _described(meter: MeterPart) -> str:
    return f"'{meter.meter.name}' of {meter.entry.provider}"


def check_validation(suite: Suite, meters: Sequence[MeterPart], place: Place) -> None:
    """Raises UserError where a training is to be evaluated on the way, and no meter can do it."""
    if any(meter.stage == "evaluate" for meter in meters):
        return
    for name, detector in suite.detectors.items():
        if detector.train.evaluate_every is not None:
            raise UserError(
                "no meter of the suite evaluates",
                where=place(("detectors", name, "train", "evaluate_every")),
                hint="add one to 'meters', or leave this out",
            )


def check_names(manifest: Manifest, suite: Suite, meters: Sequence[MeterPart]) -> None:
    """Raises UserError where columns, published figures or gates name what there is not.

    What the path of a gate leads to is seen when the run ends.
    """
    catalog, detectors = catalog_of(meters, suite.report.area_ranges), manifest.suite.detectors

    def check(name: str, known: Iterable[str], message: str, *path: str | int) -> None:
        check_name(name, known, message, manifest.place(path))

    for i, column in enumerate(suite.columns):
        check(column, catalog.specs, NO_METRIC, "columns", i)
    for i, claim in enumerate(suite.published):
        check(claim.detector, detectors, NO_DETECTOR, "published", i, "detector")
    for i, gate in enumerate(suite.gates):
        if catalog.find(gate.metric) is None:
            check(gate.metric, catalog.specs, NO_METRIC, "gates", i, "metric")
        if gate.detector is not None:
            check(gate.detector, detectors, NO_DETECTOR, "gates", i, "detector")
        path = Path(gate.against)
        if path.name == gate.against and not path.exists():  # most likely meant as a detector
            check(gate.against, detectors, NO_BASE, "gates", i, "against")
