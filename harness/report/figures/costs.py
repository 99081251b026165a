"""What the parts of a detector cost."""

from harness.report.figure import Drawing, if_seeds
from harness.report.figures.stacks import Shares, stack
from harness.results.run import Run

ROLE = "role/"


def build(run: Run) -> Drawing | None:
    """Every count that is known by role."""
    scopes: dict[str, list[str]] = {}  # metric -> scopes
    for record in run.measured:
        if record.scope.startswith(ROLE):
            scopes.setdefault(record.metric, []).append(record.scope)
    known = [spec for spec in run.metrics() if spec.kind == "count" and spec.name in scopes]
    shares = {spec: _shares(run, spec.name, scopes[spec.name]) for spec in known}
    shares = {spec: found for spec, found in shares.items() if found}
    if not shares:
        return None
    note = (
        f"Length: what a part adds{if_seeds(run, ', mean over seeds')}. Detectors that come whole "
        "show fewer parts."
    )
    plot, table = stack(shares)
    return Drawing(plot, note, table)


def _shares(run: Run, metric: str, scopes: list[str]) -> Shares:
    found = {
        name: {
            scope.removeprefix(ROLE).replace("_", " "): estimate.value
            for scope in dict.fromkeys(scopes)
            if (estimate := run.estimate(name, metric, scope)).is_there
        }
        for name in run.detectors
    }
    return {name: parts for name, parts in found.items() if parts}
