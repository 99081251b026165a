"""One measured number, before the runner adds where it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.plugin.metrics import Finding


@dataclass(frozen=True)
class Measurement:
    """A number with its conditions; what it is, its `MetricSpec` says.

    Attributes:
        metric: the name of a metric that the meter or stage declares.
        value: in the metric's unit; NaN where there is nothing to measure.
        scope: "" for the whole; "role/backbone", "class/person" and the like for a share.
        count: how many things the value rests on (images, samples, boxes).
        samples: raw samples, in the metric's unit, never trimmed.
        conditions: what the number depends on (device, precision, batch, backend...).
        warnings: what a reader must know before believing it.
    """

    metric: str
    value: float
    scope: str = ""
    count: int | None = None
    samples: tuple[float, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Finding, ...] = ()
