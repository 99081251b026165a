"""One measured number, before the runner adds where it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """A number with its unit and its conditions.

    Attributes:
        metric: its name, such as "ap_small" or "latency_end_to_end_p50".
        value: NaN where there is nothing to measure (a size bin without ground truth).
        unit: "AP" (0 to 1), "MMACs", "M", "ms", "images/s", ...
        higher_is_better: None for numbers that are neither.
        scope: "" for the whole; "role/backbone", "class/person" and the like for a share.
        count: how many things the value rests on (images, samples, boxes).
        samples: raw samples, in `unit`, never trimmed.
        conditions: what the number depends on (device, precision, batch, backend...).
        warnings: what a reader must know before believing it.
    """

    metric: str
    value: float
    unit: str
    higher_is_better: bool | None
    scope: str = ""
    count: int | None = None
    samples: tuple[float, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
