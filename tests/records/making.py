"""Records made from little."""

from typing import Any

from harness.records.record import Record

CELL: dict[str, Any] = {
    "run": "r1",
    "detector": "one",
    "seed": 0,
    "stage": "evaluate",
    "fingerprint": "f0",
    "time": 12.5,
    "environment": "e0",
}


def measured(metric: str = "ap", value: float = 0.5, **changes: Any) -> Record:
    given = {"unit": "AP", "higher_is_better": True, **CELL, **changes}
    return Record(kind="measurement", metric=metric, value=value, **given)


def ended(status: str = "ok", **changes: Any) -> Record:
    return Record(kind="cell", status=status, **{**CELL, **changes})
