"""The append-only file of a run's records."""

import os
from collections.abc import Iterable
from pathlib import Path

from harness.errors import UserError
from harness.records.layout import RECORDS, runs_in
from harness.records.record import OldRecordError, Place, Record


class RecordStore:
    """`records.jsonl` of a run folder; each `append` is whole or not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, records: Iterable[Record]) -> None:
        """Add lines and sync them to disk.

        Raises:
            UserError: the folder is read-only or the disk full; the file is as it was before.
        """
        data = "".join(record.to_json() + "\n" for record in records).encode()
        try:
            with self.path.open("ab", buffering=0) as stream:
                start = self.path.read_bytes().rfind(b"\n") + 1
                stream.truncate(start)  # drops a line that a crash left unfinished
                try:
                    _write_all(stream.fileno(), data)
                except OSError:
                    stream.truncate(start)
                    raise
        except OSError as error:
            raise UserError(
                f"cannot be written: {error.strerror}",
                where=self.path,
                hint="nothing already measured is lost; make room and run again with --resume",
            ) from error

    def read(self) -> list[Record]:
        """All records; an unfinished last line is left out.

        Raises:
            UserError: a line is not a record.
        """
        return read_records(self.path) if self.path.exists() else []


def record_files(path: Path) -> list[Path]:
    """The file itself, or the records of the run or the runs that a folder holds.

    Raises:
        UserError: there are none.
    """
    files = [path] if path.is_file() else [run / RECORDS for run in runs_in(path)]
    if not files:
        raise UserError("holds no results", where=path, hint="a run folder, or a records.jsonl")
    return files


def read_records(path: Path) -> list[Record]:
    """Records of a `records.jsonl`; see `RecordStore.read`."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read ({error})", where=path) from error
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [_parse(line, path, number) for number, line in enumerate(lines, 1)]


def outcomes(records: Iterable[Record]) -> list[Record]:
    """The latest measurements and failures."""
    return [r for r in latest(records) if r.kind == "measurement" or r.status != "ok"]


def latest(records: Iterable[Record]) -> list[Record]:
    """The records of each cell's last good attempt, then how a later one failed, if one did.

    A cell record closes an attempt. Measurements that none closes were cut off by a kill and do
    not count: their stage is measured again on `--resume`.
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


def _parse(line: str, path: Path, number: int) -> Record:
    try:
        return Record.from_json(line)
    except OldRecordError as error:
        raise UserError(
            str(error), where=f"{path}:{number}", hint="harness 0.3 reads it"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"is not a record ({error})", where=f"{path}:{number}") from error


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)
