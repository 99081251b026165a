"""How far a run is, from its folder alone: on any machine that sees it, without torch."""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from harness.files import read_json_lines
from harness.plan.cells import Cell
from harness.records import layout
from harness.records.locks import is_held
from harness.records.store import latest, read_records
from harness.report.format import NBSP, duration
from harness.report.terminal import Grid, Head
from harness.results.run_folder import read_plan
from harness.run.progress import Step, read_progress
from harness.stages.metrics import CELL_SECONDS

State = Literal["running", "failed", "interrupted", "lost", "waiting", "done"]
LOOKS: dict[State, str] = {
    "running": "bold", "failed": "red", "interrupted": "yellow", "lost": "red", "waiting": "dim",
    "done": "green",
}  # fmt: skip
SILENT_SECONDS = 120.0  # without a word, of a process whose lock is not seen here
LOOK_EVERY_S = 1.0
SHOWN = 12  # cells in a table


@dataclass(frozen=True)
class CellStatus:
    """How far one cell is.

    Attributes:
        state: "lost" is a cell whose process is gone without having said how it ended.
        step: while it runs.
        seconds: that it took when it was done.
        error: of one that failed.
        loss: newest of its training, and its newest score where it is evaluated on the way.
    """

    cell: str
    stage: str
    state: State
    step: Step | None = None
    seconds: float | None = None
    error: str = ""
    loss: str = ""


def read_status(folder: Path) -> list[CellStatus]:
    """Every cell of the plan.

    Raises:
        UserError: it is not a run's folder, or a file in it is broken.
    """
    return [_status(folder, Cell.of(one)) for one in read_plan(folder / layout.PLAN)["cells"]]


def is_live(folder: Path, cells: Sequence[CellStatus]) -> bool:
    """Whether a call of `harness run` goes on in it, or a cell by itself."""
    calls = (folder / layout.CALLS).glob("*.lock")
    return any(map(is_held, calls)) or any(cell.state == "running" for cell in cells)


def time_left(cells: Sequence[CellStatus]) -> float | None:
    """Seconds, if all goes on as it went; None before anything like it was done."""
    took: dict[str, list[float]] = defaultdict(list)
    for cell in cells:
        if cell.seconds is not None:
            took[cell.stage].append(cell.seconds)
    left, at_once = 0.0, 0
    for cell in cells:
        if cell.state in ("done", "failed"):
            continue
        step = cell.step
        gone = step.time - step.started if step is not None else 0.0
        at_once += cell.state == "running"
        if step is not None and step.done and step.total:
            left += gone * (step.total - step.done) / step.done
        elif took[cell.stage]:
            left += max(0.0, mean(took[cell.stage]) - gone)
        else:
            return None
    return left / max(1, at_once)


def watch_run(folder: Path, console: Console, *, once: bool) -> None:
    """Show a run until nothing of it goes on any more.

    Raises:
        UserError: as `read_status`.
    """
    cells = read_status(folder)
    if once or not console.is_terminal:
        console.print(render_status(folder, cells))
        return
    with Live(render_status(folder, cells), console=console, auto_refresh=False) as live:
        while is_live(folder, cells):
            time.sleep(LOOK_EVERY_S)
            cells = read_status(folder)
            live.update(render_status(folder, cells), refresh=True)


def render_status(folder: Path, cells: Sequence[CellStatus]) -> Group:
    """Counts, the cells at work, and those that came to no good end."""
    counts = Counter(cell.state for cell in cells)
    words = [f"{counts[state]} {state}" for state in reversed(LOOKS) if counts[state]]
    left = time_left(cells) if counts["done"] + counts["failed"] < len(cells) else None
    told = f", about {duration(left)} left" if left is not None else ""
    live = "" if is_live(folder, cells) else " (nothing runs now)"
    lines: list[Any] = [f"{folder.name}: {len(cells)} cells, {', '.join(words)}{told}{live}"]
    at_work = [cell for cell in cells if cell.step is not None]
    if at_work:
        lines.append(_table(at_work[:SHOWN]))
    ended = [cell for cell in cells if cell.state in ("failed", "interrupted")]
    lines += [
        Text.assemble(
            (cell.state, LOOKS[cell.state]), f" {cell.cell}", cell.error and f": {cell.error}"
        )
        for cell in ended[:SHOWN]
    ]
    more = max(0, len(at_work) - SHOWN) + max(0, len(ended) - SHOWN)
    return Group(*lines, *([f"and {more} more"] if more else []))


def _table(cells: Sequence[CellStatus]) -> Grid:
    grid = Grid(["", "state", Head("steps"), Head("since"), ""])
    for cell in cells:
        step = cell.step
        assert step is not None
        steps = f"{step.done}/{step.total}" if step.total else ""
        remark = ", ".join(filter(None, (cell.loss or step.note, step.process)))
        since = duration(time.time() - step.started).replace(" ", NBSP)
        name = cell.cell.replace(" ", NBSP)
        grid.add(name, Text(cell.state, LOOKS[cell.state]), steps, since, remark)
    return grid


def _status(folder: Path, cell: Cell) -> CellStatus:
    name, records = str(cell), layout.records_file(folder, *cell.place)
    step = read_progress(layout.progress_file(folder, *cell.place))
    held = is_held(records.with_suffix(".lock"))
    if step is not None and (held or time.time() - step.time < SILENT_SECONDS):
        return CellStatus(name, cell.stage, "running", step, loss=_loss(folder, cell))
    kept = read_records(records) if records.is_file() else []
    end = next((record for record in reversed(kept) if record.kind == "cell"), None)
    if step is not None:
        return CellStatus(name, cell.stage, "lost", step)
    if end is None or end.fingerprint != cell.fingerprint:
        return CellStatus(name, cell.stage, "running" if held else "waiting")
    if end.status != "ok":
        state: State = "interrupted" if end.status == "interrupted" else "failed"
        return CellStatus(name, cell.stage, state, error=end.error if state == "failed" else "")
    seconds = next((r.value for r in latest(kept) if r.metric == CELL_SECONDS), None)
    return CellStatus(name, cell.stage, "done", seconds=seconds)


def _loss(folder: Path, cell: Cell) -> str:
    """The newest losses, and the newest score, of a training that is at work."""
    if cell.stage != "train":
        return ""
    path = layout.cell_folder(folder, cell.detector, cell.seed) / layout.TRAIN_LOG
    try:
        newest_first = read_json_lines(path)[::-1]
    except ValueError:
        return ""
    newest: dict[str, Any] = next((line for line in newest_first if "validation" not in line), {})
    told = [
        f"{key} {value:.3f}"
        for key, value in newest.items()
        if "loss" in key and isinstance(value, float)
    ]
    scores = (
        f"{name} {value:.3f} at step {line['step']}"
        for line in newest_first
        for name, value in line.get("validation", {}).items()
        if isinstance(value, float)
    )
    return "  ".join([*told[:4], *islice(scores, 1)])
