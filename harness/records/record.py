"""Records: one line of JSON per measured number, with where it came from."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from harness.records.measurement import Measurement

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Record:
    """A measurement of a cell, or (kind "cell") how the cell ended.

    Attributes:
        kind: "measurement"; or "cell", written last, when the stage is done or has failed.
        fingerprint: of the cell: everything that determines the number.
        status: "ok", "failed" or "interrupted".
        error: why a cell failed.
        weights: hash of the weights that were measured, "" for fresh random ones.
        environment: id of the environment in the run's environment.json.
        time: seconds since 1970, when the record was made.
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
    metric: str = ""
    scope: str = ""
    value: float = math.nan
    unit: str = ""
    higher_is_better: bool | None = None
    count: int | None = None
    samples: tuple[float, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    status: str = "ok"
    error: str = ""
    schema: int = SCHEMA_VERSION

    @classmethod
    def of(cls, measurement: Measurement, **cell: Any) -> Self:
        """A measurement with its cell's run, detector, seed, stage, fingerprint and so on."""
        return cls(kind="measurement", **cell, **vars(measurement))

    def to_json(self) -> str:
        """One line; numbers that JSON does not have (NaN) become null."""
        plain = asdict(self)
        plain["value"] = None if math.isnan(self.value) else self.value
        return json.dumps(plain, default=str, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Inverse of `to_json`; keys of newer versions are left out.

        Raises:
            ValueError, TypeError: the line is not a record.
        """
        plain = json.loads(line)
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in plain.items() if key in known}
        values["value"] = math.nan if values.get("value") is None else float(values["value"])
        values["samples"] = tuple(values.get("samples", ()))
        values["warnings"] = tuple(values.get("warnings", ()))
        return cls(**values)
