"""The records of a run: a file for each cell, written whole or not at all."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from harness.errors import UserError
from harness.files import write_text
from harness.plan.cells import STAGES
from harness.records.layout import PLAN, records_file, records_files, runs_in
from harness.records.record import SCHEMA_VERSION, OldRecordError, Place, Record

DEVICE = re.compile(rb'"device_type":"([^"]*)"')  # as `Record.to_json` writes it


def write_records(run: Path, records: Iterable[Record]) -> None:
    """Add an attempt of each of some cells to what the run keeps of them.

    Of an earlier attempt stays what `latest` finds in it.

    Raises:
        UserError: the folder is read-only or the disk full; what was there is as it was before.
    """
    cells: dict[Place, list[Record]] = {}
    for record in records:
        cells.setdefault(record.place, []).append(record)
    for (_, detector, seed, stage, mode), made in cells.items():
        path = records_file(run, detector, seed, stage, mode)
        before = read_records(path) if path.is_file() else []
        kept = latest([*before, *made])
        write_text(path, "".join(record.to_json() + "\n" for record in kept))


def find_results(path: Path) -> list[Path]:
    """A file of records itself, or the run or the runs that a folder holds.

    Raises:
        UserError: there are none.
    """
    found = [path] if path.is_file() else runs_in(path)
    if not found:
        raise UserError("holds no results", where=path, hint="a run folder, or a file of records")
    return found


def read_run_records(path: Path) -> list[Record]:
    """Of all cells of a run folder in the order of its plan, else by detector, seed and stage.

    Or of a file.

    Raises:
        UserError: a line is not a record.
    """
    if path.is_file():
        return read_records(path)
    cells = [records for file in records_files(path) if (records := read_records(file))]
    place = {cell: number for number, cell in enumerate(_planned(path))}
    cells.sort(key=lambda c: (place.get(c[0].place[1:], len(place)), _rank(c[0])))
    return [record for records in cells for record in records]


def read_records(path: Path) -> list[Record]:
    """Records of a file; an unfinished last line is left out.

    Raises:
        UserError: a line is not a record.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read ({error})", where=path) from error
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [_parse(line, path, number) for number, line in enumerate(lines, 1)]


@dataclass(frozen=True)
class Success:
    """What a cell was measured with.

    Attributes:
        devices: their types, as far as its records tell.
    """

    fingerprint: str
    weights: str
    devices: frozenset[str]


def read_success(path: Path) -> Success | None:
    """Of a cell's file, None where its last attempt did not end well, or there was none.

    Of thousands of cells: only the last line is parsed.

    Raises:
        UserError: the last line is not a record.
    """
    if not path.is_file():
        return None
    try:
        text = path.read_bytes()
        end = from_json(text[text.rstrip().rfind(b"\n") + 1 :])
        whole = text.endswith(b"\n") and end["schema"] == SCHEMA_VERSION
    except (ValueError, LookupError, TypeError, AttributeError):
        whole = False
    if not whole:
        read_records(path)  # says what is wrong, unless the last line is cut short
        return None
    if end["kind"] != "cell" or end["status"] != "ok":
        return None
    devices = {found.decode() for found in DEVICE.findall(text)}
    return Success(end["fingerprint"], end["weights"], frozenset(devices))


def outcomes(records: Iterable[Record]) -> list[Record]:
    """The latest measurements and failures."""
    return [r for r in latest(records) if r.kind == "measurement" or r.status != "ok"]


def latest(records: Iterable[Record]) -> list[Record]:
    """The records of each cell's last good attempt, then how a later one failed, if one did.

    A cell record closes an attempt; measurements that none closes do not count.
    """
    pending: dict[Place, list[Record]] = {}
    kept: dict[Place, list[Record]] = {}
    for record in records:
        pending.setdefault(record.place, []).append(record)
        if record.kind == "cell":
            attempt = pending.pop(record.place)
            if record.status != "ok":
                attempt = [*(r for r in kept.get(record.place, []) if r.status == "ok"), record]
            kept[record.place] = attempt
    return [record for attempt in kept.values() for record in attempt]


def _planned(run: Path) -> list[Sequence[Any]]:
    """Detector, seed, stage and mode of each cell of the plan; none where it cannot be read."""
    try:
        plan = json.loads((run / PLAN).read_bytes())
        return [(c["detector"], c["seed"], c["stage"], c["mode"]) for c in plan["cells"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _rank(record: Record) -> tuple[str, int, int, str, str]:
    """By detector, seed and stage; behind all stages one that only the records know."""
    known = [place for place, stage in enumerate(STAGES) if stage == record.stage]
    place = known[0] if known else len(STAGES)
    return record.detector, record.seed, place, record.stage, record.mode


def _parse(line: str, path: Path, number: int) -> Record:
    try:
        return Record.from_json(line)
    except OldRecordError as error:
        raise UserError(
            str(error), where=f"{path}:{number}", hint="harness 0.3 reads it"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"is not a record ({error})", where=f"{path}:{number}") from error
