"""What ran, how far it is, and how to run it again."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from markupsafe import Markup

from harness.plan.cells import STAGES, name_stage
from harness.records.record import Record
from harness.report.format import duration, listing, moment
from harness.report.notes import failure
from harness.report.page import show
from harness.results.run import Run
from harness.stages.metrics import CELL_SECONDS

Place = tuple[str, int, str, str]


@dataclass(frozen=True)
class State:
    """A run from outside.

    Attributes:
        facts: (what, in words).
        commands: command lines that the run was made with, in order.
        rows: detector -> per stage a word, and how many of its cells are done where that says more.
        errors: how cells failed, one line each.
        as_of: time of the last record, "" without any.
    """

    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    stages: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    done: int
    failed: int
    planned: int
    errors: tuple[str, ...]
    as_of: str

    @property
    def summary(self) -> str:
        """In one line."""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done} of {self.planned} cells done{failed}"


def build(run: Run) -> Markup:
    return show("state.html", run, state=describe_state(run))


def describe_state(run: Run) -> State:
    """From plan.json and how each planned cell ended."""
    cells = run.plan["cells"]
    ends = _ends(run)
    stages = tuple(stage for stage in STAGES if any(cell["stage"] == stage for cell in cells))
    last = [ends[_place(cell)] for cell in cells if _place(cell) in ends]
    rows = tuple(
        (name, tuple(_stage(cells, ends, name, stage) for stage in stages))
        for name in run.detectors
    )
    times = [record.time for record in run.records]
    return State(
        facts=tuple(_facts(run)),
        commands=tuple(dict.fromkeys(e.get("command", "") for e in run.environments.values())),
        stages=stages,
        rows=rows,
        done=sum(end.status == "ok" for end in last),
        failed=sum(end.status != "ok" for end in last),
        planned=len(cells),
        errors=tuple(failure(end) for end in last if end.status != "ok"),
        as_of=moment(max(times)) if times else "",
    )


def describe_rest(run: Run) -> str:
    """What a run that goes on still has to do: about how long that takes, and what comes next.

    The time is that of one cell after the other, by the mean of each stage's cells so far.
    """
    ends = _ends(run)
    left = [cell for cell in run.plan["cells"] if _place(cell) not in ends]
    if not left:
        return "still running"
    took: dict[str, list[float]] = {}
    for record in run.measured:
        if record.metric == CELL_SECONDS:
            took.setdefault(record.stage, []).append(record.value)
    known = all(cell["stage"] in took for cell in left)
    seconds = sum(mean(took[cell["stage"]]) for cell in left) if known else None
    time = "" if seconds is None else f", about {duration(seconds)} left, one cell at a time"
    first = left[0]
    name = name_stage(first["stage"], first.get("mode", ""))
    return f"still running{time}; now or next: {first['detector']} seed {first['seed']} {name}"


def _place(cell: Mapping[str, Any] | Record) -> Place:
    """A cell of another plan has another fingerprint, and does not count for this one."""
    given = vars(cell) if isinstance(cell, Record) else cell
    return given["detector"], given["seed"], given["stage"], given["fingerprint"]


def _ends(run: Run) -> dict[Place, Record]:
    """How each cell ended last."""
    return {_place(record): record for record in run.records if record.kind == "cell"}


def _stage(
    cells: list[Mapping[str, Any]], ends: Mapping[Place, Record], name: str, stage: str
) -> tuple[str, str]:
    """ "done", "failed", "partly", "to do", or "" where the stage is not planned; "1/3"."""
    planned = [c for c in cells if (c["detector"], c["stage"]) == (name, stage)]
    ended = [ends[_place(cell)].status for cell in planned if _place(cell) in ends]
    done = ended.count("ok")
    if done == len(planned):
        return "done" if planned else "", ""
    word = "failed" if len(ended) > done else "partly" if done else "to do"
    return word, f"{done}/{len(planned)}" if len(planned) > 1 else ""


def _facts(run: Run) -> list[tuple[str, str]]:
    plan = run.plan
    data = dict(plan["data"])
    where = data.get("root")
    seeds = list(dict.fromkeys(str(cell["seed"]) for cell in plan["cells"]))
    facts = [
        ("suite", f"{plan['suite']}, profile {plan['profile']}"),
        ("data", f"{data['use']}, {where}" if where else str(data["use"])),
        ("classes", f"{len(plan['classes'])}: {listing(plan['classes'], most=6)}"),
        ("images", f"{len(run.truth.image_ids):,} for validation" if run.truth else "not known"),
        ("seeds", ", ".join(seeds)),
        ("detectors", ", ".join(run.detectors)),
    ]
    for name, detector in plan["detectors"].items():
        if (detector or {}).get("detections"):
            facts.append((f"detections of {name}", detector["detections"]))
    commits = dict.fromkeys(_commit(env) for env in run.environments.values())
    return [*facts, ("commit", ", ".join(filter(None, commits)) or "not known")]


def _commit(environment: Mapping[str, Any]) -> str:
    git = environment.get("project_git") or {}
    dirty = ", with changes" if git.get("dirty") else ""
    return f"{git['commit'][:12]}{dirty}" if git.get("commit") else ""
