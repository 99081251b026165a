"""Records: one line of JSON per measured number, with where it came from."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from harness.plugin.metrics import Finding, MetricSpec
from harness.records.measurement import Measurement

SCHEMA_VERSION = 2  # 1 was written by harness 0.1 to 0.3
Place = tuple[str, str, int, str, str]  # run, detector, seed, stage, mode


class OldRecordError(ValueError):
    """A line of an older version, which this one does not read."""


@dataclass(frozen=True)
class Record:
    """A measurement of a cell, or (kind "cell") how the cell ended.

    Attributes:
        kind: "measurement"; or "cell", written last, when the stage is done or has failed.
        fingerprint: of the cell: everything that determines the number.
        mode: of a cell of the stage `latency`, "" of the others. Of a detector's modes the first
            has the scope "" and the others "mode/<mode>", so that what reads the whole of a
            detector reads one of them.
        status: "ok", "failed" or "interrupted".
        error: why a cell failed.
        weights: hash of the weights that were measured, "" for fresh random ones.
        environment: id of the environment, a file in the run's environments/.
        time: seconds since 1970, when the record was made.
        unit, higher_is_better: of the metric, so that the line can be read by itself.
    """

    run: str
    detector: str
    seed: int
    stage: str
    fingerprint: str
    kind: Literal["measurement", "cell"]
    time: float
    environment: str
    weights: str = ""
    mode: str = ""
    metric: str = ""
    scope: str = ""
    value: float = math.nan
    unit: str = ""
    higher_is_better: bool | None = None
    count: int | None = None
    samples: tuple[float, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Finding, ...] = ()
    status: str = "ok"
    error: str = ""
    schema: int = SCHEMA_VERSION

    @classmethod
    def of(cls, measurement: Measurement, spec: MetricSpec, **cell: Any) -> Self:
        """A measurement with its cell's run, detector, seed, stage, mode, fingerprint and so on.

        Raises:
            TypeError: a meter gave something that is not a number.
        """
        own = {**vars(measurement), "unit": spec.unit, "higher_is_better": spec.higher_is_better}
        own["value"] = _number(measurement.metric, measurement.value)
        own["samples"] = tuple(_number(measurement.metric, x) for x in measurement.samples)
        own["count"] = None if measurement.count is None else int(measurement.count)
        return cls(kind="measurement", **cell, **own)

    @property
    def place(self) -> Place:
        """Of its cell."""
        return self.run, self.detector, self.seed, self.stage, self.mode

    def to_json(self) -> str:
        """One line; of the numbers that JSON does not have, NaN is null and the others text."""
        return json.dumps(
            _without_nan(asdict(self)), default=str, allow_nan=False, separators=(",", ":")
        )

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Inverse of `to_json`; keys of newer versions are left out.

        Raises:
            OldRecordError: an older version wrote it.
            ValueError, TypeError: the line is not a record.
        """
        plain = json.loads(line)
        if plain.get("schema", 1) < SCHEMA_VERSION:
            raise OldRecordError("it was written by harness 0.3 or older")
        values = {key: value for key, value in plain.items() if key in KEYS}
        values["value"] = _from_null(values.get("value"))
        values["samples"] = tuple(map(_from_null, values.get("samples", ())))
        values["warnings"] = tuple(Finding(**entry) for entry in values.get("warnings", ()))
        return cls(**values)


KEYS = frozenset(f.name for f in fields(Record))


def _number(metric: str, value: Any) -> float:
    """`value` as Python's own float; numpy's and one-element tensors are numbers too."""
    if isinstance(value, str) or not hasattr(type(value), "__float__"):
        raise TypeError(f"the value of '{metric}' is {value!r}, not a number")
    return float(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _from_null(value: Any) -> float:
    return math.nan if value is None else float(value)
