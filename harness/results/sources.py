"""What can be compared: run folders, records, CSVs, pytest-benchmark's JSON."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import UserError, near_names
from harness.records.frame import latest
from harness.records.record import Record
from harness.records.store import read_records
from harness.results.benchmarks import read_benchmarks
from harness.results.export import FORMATS
from harness.results.figures import make_figures
from harness.results.run import Run, read_run
from harness.results.table_files import read_table
from harness.results.types import OF_STAGES, Figure, Side, name_subject

KINDS = (
    "a run folder, a records.jsonl, a table (.csv, .parquet, .sqlite) or a pytest-benchmark JSON"
)


def read_sides(given: Sequence[str], resamples: int | None = None) -> tuple[Side, ...]:
    """Read what a command line names, each as PATH or PATH:DETECTOR.

    With a detector picked on any side, every side is one detector.

    Args:
        resamples: of the bootstrap, in place of the runs' own.

    Raises:
        UserError: nothing is there, it cannot be read, or the detector is not in it.
    """
    split = [split_detector(text) for text in given]
    read = {path: read_side(path, resamples) for path, _ in split}
    sides = [_pick(read[path], detector) for path, detector in split]
    if any(detector for _, detector in split):
        sides = [_only(side) for side in sides]
    return tuple(
        replace(side, name=name) for side, name in zip(sides, _short_names(sides), strict=True)
    )


def split_detector(text: str) -> tuple[Path, str | None]:
    """PATH:DETECTOR, unless a file is called so."""
    path, colon, detector = text.rpartition(":")
    if not colon or not path or Path(text).exists():
        return Path(text), None
    return Path(path), detector or None


def read_side(path: Path, resamples: int | None = None) -> Side:
    """Read one run or file.

    Raises:
        UserError: it is nothing that can be compared.
    """
    if path.name == "records.jsonl" and path.is_file():
        path = path.parent
    if path.is_dir():
        return _read_folder(path, resamples)
    if not path.exists():
        raise UserError("does not exist", where=path, hint=f"give {KINDS}")
    if path.suffix in FORMATS:
        return read_table(path)
    if path.suffix == ".json":
        return read_benchmarks(path)
    if path.suffix != ".jsonl":
        raise UserError("is nothing that can be compared", where=path, hint=f"give {KINDS}")
    return make_side(path, read_records(path))


def make_side(path: Path, records: Sequence[Record], run: Run | None = None) -> Side:
    """A side of records and, where there is a run, of what its detections say."""
    measured = [
        r
        for r in latest(list(records))
        if r.kind == "measurement" and _subject(r) and r.metric not in OF_STAGES
    ]
    figures: dict[str, dict[str, Figure]] = {}
    for name in dict.fromkeys(map(_subject, measured)):
        own = [r for r in measured if _subject(r) == name]
        figures[name] = make_figures(own, tuple(run.analyses_of(name)) if run else ())
    return Side(
        name=path.resolve().name,
        path=str(path),
        figures=figures,
        columns=tuple(run.plan.get("columns", ())) if run else (),
        notes=run.notes if run else (f"{path}: detections are not beside it: no intervals of AP",),
        time=min((r.time for r in measured), default=float("nan")),
        commit=_commit(run, measured) if run else "",
    )


def _subject(record: Record) -> str:
    return name_subject(record.detector, record.scope) or ""


def _read_folder(path: Path, resamples: int | None) -> Side:
    records = path / "records.jsonl"
    if not records.is_file():
        inside = sorted(p.parent.name for p in path.glob("*/records.jsonl"))
        hint = f"in it are the runs {', '.join(inside)}" if inside else f"give {KINDS}"
        raise UserError("holds no records.jsonl", where=path, hint=hint)
    if not (path / "plan.json").is_file():
        return make_side(path, read_records(records))
    run = read_run(path, resamples=resamples)
    return make_side(path, run.records, run)


def _pick(side: Side, detector: str | None) -> Side:
    if detector is None:
        return side
    if detector not in side.figures:
        hint = near_names(detector, list(side.figures))
        raise UserError(f"has no detector '{detector}'", where=side.path, hint=hint)
    return replace(side, picked=detector, name=f"{side.name}:{detector}")


def _only(side: Side) -> Side:
    """The side as one detector."""
    if side.picked is not None:
        return side
    whole = [name for name in side.figures if "@" not in name]
    if len(whole) != 1:
        names = ", ".join(side.figures) or "none"
        raise UserError(
            "which of its detectors is meant?", where=side.path, hint=f"PATH:DETECTOR, of: {names}"
        )
    return _pick(side, whole[0])


def _short_names(sides: Sequence[Side]) -> list[str]:
    """Names that differ: where two runs are called alike, with their folder or a number."""
    names = [side.name for side in sides]
    if len({side.path for side in sides}) == 1 and all(side.picked for side in sides):
        names = [str(side.picked) for side in sides]  # one run: its name says nothing
    if len(set(names)) < len(names):
        parents = [Path(side.path).resolve().parent.name for side in sides]
        longer = [f"{p}/{n}" for p, n in zip(parents, names, strict=True)]
        names = longer if len(set(longer)) == len(longer) else names
    return [
        f"{name} ({names[:i].count(name) + 1})" if name in names[:i] else name
        for i, name in enumerate(names)
    ]


def _commit(run: Run, records: Sequence[Record]) -> str:
    for record in records:
        state = run.environments.get(record.environment, {}).get("project_git") or {}
        if state.get("commit"):
            return str(state["commit"])[:9] + "+" * bool(state.get("dirty"))
    return ""
