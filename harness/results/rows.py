"""Which metrics of which detectors stand beside each other."""

import re
from collections.abc import Iterator, Sequence

from harness.errors import UserError, near_names
from harness.results.types import Figure, Side

SHORT = {
    "latency": "latency_end_to_end_p50",
    "latency_p50": "latency_end_to_end_p50",
    "latency_p90": "latency_end_to_end_p90",
    "latency_p99": "latency_end_to_end_p99",
    "macs": "macs_paper",
    "params": "parameters",
}
# What the harness itself can measure (docs/metrics.md), whether or not a run has.
MEASURABLE = re.compile(
    r"ap(50|75)?|(ap|ar)_(small|medium|large)|ar_10{0,2}"
    r"|latency_(network|postprocessed|end_to_end)_(p50|p90|p99|spread)|throughput"
    r"|latency_peak_memory|mode_(?:setup|compile)_seconds"
    r"|macs_(paper|fvcore)|parameters|activations"
    r"|train_(loss|images_per_second|wall_time|peak_memory|loader_wait)"
)
USUAL = (
    "ap",
    "ap50",
    "ap_small",
    "macs_paper",
    "parameters",
    "latency_end_to_end_p50",
    "time",
)
ALL = "all"


def full_name(metric: str, known: Sequence[str]) -> str:
    """The metric that a name or short name means.

    Raises:
        UserError: no side has it.
    """
    for name in (metric, SHORT.get(metric)):
        if name in known:
            return str(name)
    raise UserError(f"no side has the metric '{metric}'", hint=near_names(metric, list(known)))


def gated_metric(metric: str, sides: Sequence[Side]) -> str:
    """As `full_name`, but it may also be one that is known and that no side has.

    Raises:
        UserError: nobody knows it.
    """
    known, name = known_metrics(sides), SHORT.get(metric, metric)
    columns = [column for side in sides for column in side.columns]
    if metric not in known and (name in columns or MEASURABLE.fullmatch(name)):
        return name
    return full_name(metric, known)


def known_metrics(sides: Sequence[Side]) -> list[str]:
    """Of all sides, in the order in which they were recorded."""
    found = [m for side in sides for figures in side.figures.values() for m in figures]
    return list(dict.fromkeys(found))


def choose_metrics(sides: Sequence[Side], wanted: Sequence[str]) -> list[str]:
    """The metrics asked for; without any, the base's main table or the usual ones.

    Raises:
        UserError: one is unknown, or the sides have no numbers at all.
    """
    known = known_metrics(sides)
    if wanted == [ALL]:
        return known
    if wanted:
        return list(dict.fromkeys(full_name(metric, known) for metric in wanted))
    usual = [metric for metric in (sides[0].columns or USUAL) if metric in known]
    return usual or known


def choose_detectors(sides: Sequence[Side], only: Sequence[str]) -> list[str]:
    """Names in the base's order, then those that only others have.

    Raises:
        UserError: one of `only` is on no side.
    """
    known = list(dict.fromkeys(name for side in sides for name in side.figures))
    for name in only:
        if name not in known:
            raise UserError(f"no side has the detector '{name}'", hint=near_names(name, known))
    return [name for name in known if not only or name in only]


def align(
    sides: Sequence[Side], metrics: Sequence[str], only: Sequence[str] = ()
) -> Iterator[tuple[str, str, tuple[Figure | None, ...]]]:
    """(detector, metric, its figure on each side) wherever some side has one.

    The detector is "" where every side is another one.
    """
    if sides[0].picked is not None:
        names = [[str(side.picked) for side in sides]]
        titles = [""]
    else:
        titles = choose_detectors(sides, only)
        names = [[name] * len(sides) for name in titles]
    for title, chosen in zip(titles, names, strict=True):
        for metric in metrics:
            figures = tuple(
                side.figures.get(name, {}).get(metric)
                for side, name in zip(sides, chosen, strict=True)
            )
            if any(figure is not None for figure in figures):
                yield title, metric, figures
