"""What can be compared: run folders, records, tables, pytest-benchmark's JSON."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import UserError, near_names
from harness.plugin.catalog import Catalog
from harness.plugin.metrics import Finding
from harness.records import layout
from harness.results.detection_files import is_detections, run_like
from harness.results.estimate import Estimate, below_floor
from harness.results.run import MODE, Run, known_metrics
from harness.results.run_folder import AT_ONCE, open_run

TABLES = (".parquet", ".csv", ".sqlite")
KINDS = (
    "a run folder, a .jsonl of records, a table (.csv, .parquet, .sqlite), "
    "a pytest-benchmark JSON or a file of detections"
)


@dataclass(frozen=True, eq=False)
class Side:
    """A run or file that is compared.

    Attributes:
        name: short and different from those of the other sides.
        estimates: detector (or benchmark, or DETECTOR@MODE) -> metric -> its number.
        picked: the one detector that was asked for, None for all.
        columns: metrics of its main table.
        notes: why something is not known, one line each.
        time: seconds since 1970 of the first record, NaN where unknown.
        commit: of the harness that measured, "" where unknown, "+" behind it if changed since.
        catalog: its metrics, and how warnings read.
    """

    name: str
    path: str
    estimates: Mapping[str, Mapping[str, Estimate]]
    picked: str | None = None
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    time: float = math.nan
    commit: str = ""
    catalog: Catalog = field(default_factory=known_metrics)

    def below_floor(self, detector: str) -> Finding | None:
        """Why a detector competes in nothing, nor in a mode that has no scores of its own."""
        names = dict.fromkeys([detector, detector.partition("@")[0]])
        found = (below_floor(self.estimates.get(name, {}).values()) for name in names)
        return next(filter(None, found), None)


def read_sides(given: Sequence[str], resamples: int | None = None) -> tuple[Side, ...]:
    """Read what a command line names, each as PATH or PATH:DETECTOR.

    With a detector picked on any side, every side is one detector, and so it is with a file of
    detections, which is scored as the detectors of the first run were.

    Args:
        resamples: of the bootstrap, in place of the runs' own.

    Raises:
        UserError: nothing is there, it cannot be read, or the detector is not in it.
    """
    split = [split_detector(text) for text in given]
    everything = list(dict.fromkeys(path for path, _ in split))
    paths = [path for path in everything if not is_detections(path)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        read = dict(zip(paths, pool.map(lambda p: read_side(p, resamples), paths), strict=True))
    if len(paths) < len(everything):
        base = _scored_run(paths, resamples)
        for path in set(everything) - set(paths):
            read[path] = replace(
                _only(side_of(run_like(base, path, resamples), path)), name=path.stem
            )
    sides = [_pick(read[path], detector) for path, detector in split]
    if any(side.picked for side in sides):
        sides = [_only(side) for side in sides]
    return tuple(
        replace(side, name=name) for side, name in zip(sides, _short_names(sides), strict=True)
    )


def _scored_run(paths: Sequence[Path], resamples: int | None) -> Run:
    """The first run, which says what files of detections are scored on.

    Raises:
        UserError: there is none.
    """
    run = next((path for path in paths if layout.is_run(path)), None)
    if run is None:
        raise UserError(
            "a file of detections is compared with a run, which says on what images",
            hint="name a run as well, or `harness score FILE FILE --annotations FILE`",
        )
    return open_run(run, resamples)


def split_detector(text: str) -> tuple[Path, str | None]:
    """PATH:DETECTOR, unless a file is called so."""
    path, colon, detector = text.rpartition(":")
    if not colon or not path or Path(text).exists():
        return Path(text), None
    return Path(path), detector or None


def read_side(path: Path, resamples: int | None = None) -> Side:
    """Read one run or file.

    Raises:
        UserError: it cannot be compared.
    """
    if path.is_dir():
        return _read_folder(path, resamples)
    if not path.exists():
        raise UserError("does not exist", where=path, hint=f"give {KINDS}")
    if path.suffix in TABLES:
        from harness.results.tables import read_table_side  # pandas: a second

        return read_table_side(path)
    if path.suffix == ".json":
        from harness.results.benchmarks import read_benchmarks

        return read_benchmarks(path)
    if path.suffix != ".jsonl":
        raise UserError("cannot be compared", where=path, hint=f"give {KINDS}")
    return side_of(open_run(path), path)


def side_of(run: Run, path: Path | None = None) -> Side:
    """A run as a side: whole detectors, and each in its further modes."""
    estimates: dict[str, dict[str, Estimate]] = {}
    for record in run.measured:
        subject = _subject(record.detector, record.scope)
        if subject is not None and not run.spec(record.metric).of_cell:
            found = run.estimate(record.detector, record.metric, record.scope)
            estimates.setdefault(subject, {})[record.metric] = found
    where = run.folder if path is None else path
    return Side(
        name=where.resolve().name if where.suffix != ".jsonl" else where.stem,
        path=str(where),
        estimates=estimates,
        columns=tuple(run.plan.get("columns", ())),
        notes=run.notes,
        time=min((record.time for record in run.measured), default=math.nan),
        commit=_commit(run),
        catalog=run.catalog,
    )


def split_run(run: Run) -> tuple[Side, ...]:
    """Each detector of a run as a side of its own, of one detector."""
    whole = side_of(run)
    return tuple(
        replace(_pick(whole, name), name=name) for name in run.detectors if name in whole.estimates
    )


def _subject(detector: str, scope: str) -> str | None:
    """A detector, or DETECTOR@MODE where it ran in a further mode; None for a part of it."""
    if not scope:
        return detector
    mode = scope.removeprefix(MODE)
    return f"{detector}@{mode}" if scope.startswith(MODE) and "/" not in mode else None


def _read_folder(path: Path, resamples: int | None) -> Side:
    if layout.is_run(path):
        return side_of(open_run(path, resamples), path)
    inside = sorted(run.name for run in layout.runs_in(path))
    hint = f"in it are the runs {', '.join(inside)}" if inside else f"give {KINDS}"
    raise UserError("is not a run", where=path, hint=hint)


def _pick(side: Side, detector: str | None) -> Side:
    if detector is None:
        return side
    if detector not in side.estimates:
        hint = near_names(detector, list(side.estimates))
        raise UserError(f"has no detector '{detector}'", where=side.path, hint=hint)
    return replace(side, picked=detector, name=f"{side.name}:{detector}")


def _only(side: Side) -> Side:
    """The side as one detector."""
    if side.picked is not None:
        return side
    whole = [name for name in side.estimates if "@" not in name]
    if len(whole) != 1:
        names = ", ".join(side.estimates) or "none"
        raise UserError(
            "which of its detectors is meant?",
            where=side.path,
            hint=f"write PATH:DETECTOR, with one of {names}",
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


def _commit(run: Run) -> str:
    for record in run.measured:
        state = run.environments.get(record.environment, {}).get("project_git") or {}
        if state.get("commit"):
            return str(state["commit"])[:9] + "+" * bool(state.get("dirty"))
    return ""
