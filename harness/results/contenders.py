"""What competes within limits: each detector in each mode of inference that it was timed in.

What the cell of a mode measured is that mode's; scores and costs are the detector's in all of its
modes. A mode of 8 bits is another detector: its scores are its own, or unknown.
"""

from dataclasses import dataclass, replace

from harness.results.difference import Difference, find_difference
from harness.results.estimate import Estimate, make_estimate
from harness.results.run import Run
from harness.stages.metrics import MODE_SCORE

MEANT = ("mode", "precision")  # conditions in which modes are meant to differ


@dataclass(frozen=True)
class Contender:
    """A detector in one mode.

    Attributes:
        mode: with its precision, see `harness.plan.cells.name_mode`; "" of a detector that was
            timed in none.
        scope: of what was measured in that mode.
        quantized: its scores are its own.
        name: such as "tinydet_s in compiled"; in a run of one mode the detector's.
    """

    detector: str
    mode: str
    scope: str
    quantized: bool
    name: str

    @property
    def scored_as(self) -> str:
        """Whose scores these are: those that are scored alike have one name."""
        return self.name if self.quantized else self.detector


def find_contenders(run: Run) -> list[Contender]:
    """Detectors in the order of the suite, modes in that of the plan."""
    modes = {name: run.mode_scopes(name) or {"": ""} for name in run.detectors}
    several = len({mode for own in modes.values() for mode in own if mode}) > 1
    return [
        Contender(
            detector=name,
            mode=mode,
            scope=scope,
            quantized=bool(run.estimate(name, MODE_SCORE, scope).conditions.get("quantized")),
            name=f"{name} in {mode}" if several and mode else name,
        )
        for name, own in modes.items()
        for mode, scope in own.items()
    ]


def estimate_in(run: Run, one: Contender, metric: str) -> Estimate:
    """A metric of a detector in a mode; without a value where it was not measured."""
    of_detector = [r for r in run.records_of(one.detector, metric) if not r.mode]
    if not of_detector:
        return run.estimate(one.detector, metric, one.scope)
    if one.quantized and of_detector[0].stage == "evaluate":
        return _own_score(run, one, metric)
    return run.estimate(one.detector, metric)


def difference_between(run: Run, base: Contender, other: Contender, metric: str) -> Difference:
    """How a contender's number differs from another's."""
    one, two = estimate_in(run, base, metric), estimate_in(run, other, metric)
    if base.detector != other.detector:
        return find_difference(one, two, same_detector=False)
    # modes of one detector have the same weights
    return find_difference(one.of_weights, two.of_weights, same_detector=True, meant=MEANT)


def is_measured(run: Run, metric: str) -> bool:
    """Whether any detector has a value, in any of its modes."""
    return any(estimate_in(run, one, metric).is_there for one in find_contenders(run))


def _own_score(run: Run, one: Contender, metric: str) -> Estimate:
    """Of what it found, where that was kept; else of the main score what the mode's check found."""
    again = run.estimate_quantized(one.detector, one.mode, metric)
    if again.is_there or run.spec(metric) != run.catalog.main_score:
        return again
    checks = {r.seed: r for r in run.records_of(one.detector, MODE_SCORE, one.scope)}
    records = run.records_of(one.detector, metric)
    if any(record.seed not in checks for record in records):
        return again
    # as the float's, but for the images that it was checked on, without an interval
    own = [
        replace(record, value=check.value, conditions={**record.conditions, "images": images})
        for record in records
        for check in [checks[record.seed]]
        for images in [check.conditions.get("images")]
    ]
    return make_estimate(run.spec(metric), own)


def modes_of(run: Run) -> list[str]:
    """All in which a detector was timed, each once."""
    return list(dict.fromkeys(one.mode for one in find_contenders(run) if one.mode))
