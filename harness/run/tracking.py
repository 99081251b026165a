"""Trackers receive curves and final metrics; an error in one never fails a cell."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Protocol

from accelerate import PartialState

from harness.plan.cells import Cell, Part, Plan
from harness.records import layout
from harness.records.measurement import Measurement
from harness.run.launch import Launch
from harness.stages.train.state import preserved_rng

Tell = Callable[[str], None]


@dataclass(frozen=True)
class TrackedCell:
    """What a tracker is made for: an attempt of a cell.

    Attributes:
        run: name of its folder.
        mode: of the stage `latency`, "" of the others.
        name: of the cell, "tinydet_s/seed0/train".
        folder: of the run, for what the tracker keeps of this cell; made by who writes to it.
        first_step: the first that is told. What was told before of it and of later ones is void,
            as the attempt that told it was cut short or is repeated.
    """

    suite: str
    run: str
    detector: str
    seed: int
    stage: str
    mode: str
    name: str
    folder: Path
    first_step: int


class Tracker(Protocol):
    """What the factory of a tracker returns; every `accelerate.tracking.GeneralTracker` is one."""

    def start(self) -> None:
        """Called once, before anything else."""

    def log(self, values: dict[str, float], step: int | None = None) -> None:
        """Finite numbers by name: "training/lr" and the like, at the end "metrics/<metric>".

        Of a part of the detector it is "<scope>/<metric>", such as "class/car/ap".
        """

    def finish(self) -> None:
        """Called once, whatever became of the cell."""


class Tracking:
    """The trackers of a plan, in the main process. Each one that raises is reported once."""

    def __init__(self, plan: Plan, launch: Launch) -> None:
        self.suite = plan.suite.suite
        self.parts: Sequence[Part] = plan.trackers if launch.is_main else ()
        self.on_cpu = launch.device.type == "cpu"
        self.told: set[str] = set()

    @contextmanager
    def cell(self, run: Path, cell: Cell, tell: Tell) -> Iterator["CellTracking"]:
        """For as long as a cell goes on."""
        tracked = CellTracking(self, run, cell, tell)
        try:
            yield tracked
        finally:
            tracked.finish()


class CellTracking:
    """The trackers of one cell, made when there is something to tell: nothing of theirs runs
    beside a cell that is timed."""

    def __init__(self, tracking: Tracking, run: Path, cell: Cell, tell: Tell) -> None:
        self.tracking, self.run, self.planned, self.tell = tracking, run, cell, tell
        self.parts, self.step = list(tracking.parts), 0
        self.made: dict[str, Tracker] = {}

    def log(self, values: Mapping[str, float], step: int) -> None:
        """What is not finite is left out."""
        self.step = step
        known = {name: float(value) for name, value in values.items() if isfinite(value)}
        for part in list(self.parts if known else ()):
            with self._harmless(part):
                self._tracker(part).log(known, step=step)

    def log_measured(self, measured: Sequence[Measurement]) -> None:
        """The metrics of the cell, at the last step that was told."""
        # no name is the beginning of another: MLflow keeps files of these names
        names = (f"{m.scope or 'metrics'}/{m.metric}" for m in measured)
        self.log(dict(zip(names, (m.value for m in measured), strict=True)), self.step)

    def finish(self) -> None:
        for part in list(self.parts):
            if part.declaration.name in self.made:
                with self._harmless(part):
                    self.made.pop(part.declaration.name).finish()

    def _tracker(self, part: Part) -> Tracker:
        name, cell = part.declaration.name, self.planned
        if name not in self.made:
            if not PartialState._shared_state:  # which accelerate's trackers ask
                PartialState(cpu=self.tracking.on_cpu)
            folder = layout.tracker_folder(self.run, name, *cell.place)
            tracked = TrackedCell(
                self.tracking.suite, self.run.name, *cell.place, cell.name, folder, self.step
            )
            made: Tracker = part.make(tracked)
            made.start()
            self.made[name] = made
        return self.made[name]

    @contextmanager
    def _harmless(self, part: Part) -> Iterator[None]:
        """Whatever it raises, and draws from the random generators, is its own affair."""
        try:
            with preserved_rng():
                yield
        except (Exception, SystemExit) as error:
            self.parts.remove(part)  # for the rest of this cell
            name = part.declaration.name
            if name not in self.tracking.told:
                self.tracking.told.add(name)
                line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                self.tell(f"the tracker '{name}' failed at {self.planned.name}: {line}")


def check_trackers(plan: Plan, launch: Launch) -> None:
    """Raises UserError where the module of a tracker lacks something on this machine."""
    for part in plan.trackers if launch.is_main else ():
        part.declaration.load()
