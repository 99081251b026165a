"""Is A better than B? Over all pairs of detectors, per score."""

from dataclasses import dataclass

from markupsafe import Markup

from harness.plugin.metrics import MetricSpec
from harness.report.page import show
from harness.results.difference import Difference
from harness.results.run import Run

MOST = 12  # detectors; a larger square cannot be read


@dataclass(frozen=True, eq=False)
class Square:
    """All pairs of one metric.

    Attributes:
        rows: (detector, its value minus every detector's, None against itself).
        real: how many of the pairs differ significantly.
        left_out: detectors for which there is no room.
        invalid: detectors whose number is invalid.
    """

    metric: MetricSpec
    rows: tuple[tuple[str, tuple[Difference | None, ...]], ...]
    real: int
    left_out: tuple[str, ...]
    invalid: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.rows)

    @property
    def pairs(self) -> int:
        return len(self.rows) * (len(self.rows) - 1) // 2


def build(run: Run) -> Markup | None:
    """A square for each score; None with fewer than two detectors to compare."""
    made = [square(run, spec) for spec in run.ranked("score")]
    squares = [one for one in made if len(one.rows) > 1]
    return show("pairs.html", run, squares=squares) if squares else None


def square(run: Run, spec: MetricSpec) -> Square:
    """All pairs of the detectors that have an interval."""
    found = {name: run.estimate(name, spec.name) for name in run.detectors}
    known = {name: e for name, e in found.items() if e.sampled}
    usable = [name for name, e in known.items() if e.is_usable]
    names, left_out = usable[:MOST], tuple(usable[MOST:])
    rows = tuple(
        (
            name,
            tuple(
                None if name == other else run.difference(other, name, spec.name) for other in names
            ),
        )
        for name in names
    )
    real = sum(d is not None and d.verdict == "better" for _, own in rows for d in own)
    invalid = tuple(name for name, e in known.items() if e.level == "invalid")
    return Square(spec, rows, real, left_out, invalid)
