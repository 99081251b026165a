"""Which cell starts when, with an executor that only pretends: no process, no time."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tiny_suite import PLUGIN, tiny, write_manifest

from harness.manifest.suite import load_manifest
from harness.plan.cells import Plan
from harness.plan.planner import make_plan
from harness.plugin.manager import load_plugins
from harness.records import layout
from harness.records.locks import locked
from harness.records.record import Record
from harness.records.store import read_run_records, write_records
from harness.run import executing
from harness.run.executing import Work, run_jobs
from harness.run.jobs import Task
from harness.run.progress import Reporter, Written


@dataclass
class Pretended:
    """Its jobs end in the order in which they began, one at each look.

    Attributes:
        fates: name of a cell -> how its attempts end: "ok", "failed", or "" without a word;
            "interrupted 30" is at step 30; "bug" is an executor that cannot start it.
        seen: what ran at the same time, whenever something started.
    """

    folder: Path
    slots: int = 1
    one_machine: bool = True
    fates: dict[str, list[str]] = field(default_factory=dict)
    seen: list[list[str]] = field(default_factory=list)
    jobs: list["PretendedJob"] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def start(self, task: Task) -> "PretendedJob":
        fates = self.fates.get(task.name, [])
        fate = fates.pop(0) if fates else "ok"
        if fate == "bug":
            raise ZeroDivisionError
        job = PretendedJob(self, task.name, fate)
        self.jobs.append(job)
        self.seen.append([j.name for j in self.jobs])
        return job

    @property
    def started(self) -> list[str]:
        return [names[-1] for names in self.seen]


@dataclass
class PretendedJob:
    executor: Pretended
    name: str
    fate: str

    def poll(self) -> str | None:
        if self.executor.jobs[0] is not self:
            return None
        self.executor.jobs.pop(0)
        detector, seed, stage, *mode = self.name.split("/")
        status, *reached = self.fate.split() or [""]
        if reached:
            place = (detector, int(seed[4:]), stage, "".join(mode))
            path = layout.progress_file(self.executor.folder, *place)
            Written(path, Reporter()).advance(int(reached[0]), 100)
        if self.fate:
            write_records(
                self.executor.folder,
                [Record("r", detector, int(seed[4:]), stage, "f", "cell", time.time(), "",
                        mode="".join(mode), status=status)],
            )  # fmt: skip
        return "" if self.fate else "vanished"

    def stop(self) -> None:
        self.executor.stopped.append(self.name)

    def kill(self) -> None: ...


@pytest.fixture
def plan(tmp_path: Path, data: Path) -> Plan:
    path = write_manifest(tmp_path / "m.yaml", data, [tiny("one"), tiny("two")])
    return make_plan(load_manifest(path), load_plugins([str(PLUGIN)]))


@pytest.fixture
def run(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(executing, "POLL_SECONDS", 0.0)

    def run(**options) -> tuple[Pretended, Work, bool]:
        folder = tmp_path / "run"
        executor = Pretended(folder, **options)
        work = Work(plan, folder, set(), Reporter(), lambda: None)
        return executor, work, run_jobs(work, executor, [])

    return run


def test_one_at_a_time_goes_in_the_order_of_the_plan(run, plan: Plan):
    executor, _, failed = run()
    assert executor.started == [cell.name for cell in plan.cells]
    assert not failed
    assert {len(names) for names in executor.seen} == {1}


def test_what_is_timed_runs_alone_and_after_the_others(run):
    executor, _, _ = run(slots=3)
    assert executor.started[:2] == ["one/seed0/train", "two/seed0/train"]
    assert max(map(len, executor.seen)) == 3
    for names in executor.seen:
        if any("latency" in name for name in names):
            assert len(names) == 1
    assert all("latency" in name for name in executor.started[-2:])


def test_where_machines_are_many_timed_cells_do_not_wait(run):
    executor, _, _ = run(slots=8, one_machine=False)
    together = [names for names in executor.seen if any("latency" in name for name in names)]
    assert max(map(len, together)) > 1


def test_nothing_starts_before_its_training(run, plan: Plan):
    executor, _, _ = run(slots=8, one_machine=False)
    for names in executor.seen:
        trained = {name.split("/")[0] for name in names if name.endswith("train")}
        assert not any(n.split("/")[0] in trained for n in names if not n.endswith("train"))


@pytest.mark.parametrize("slots", [1, 4])
def test_a_failed_training_takes_its_detector_along(run, tmp_path: Path, slots: int):
    executor, work, failed = run(slots=slots, fates={"one/seed0/train": ["failed"]})
    assert failed
    assert [name for name in executor.started if name.startswith("one")] == ["one/seed0/train"]
    ends = {(r.detector, r.stage): r for r in read_run_records(tmp_path / "run")}
    assert ends["one", "evaluate"].error == "not run: an earlier stage of this detector failed"
    assert ends["two", "latency"].status == "ok"
    assert {cell.detector for cell in work.failed} == {"one"}


def test_a_lost_job_is_started_again_and_then_given_up(run, tmp_path: Path):
    executor, _, failed = run(
        fates={"one/seed0/train": ["", "ok"], "two/seed0/evaluate": ["", "", "ok"]}
    )
    assert failed
    assert executor.started.count("one/seed0/train") == 2
    assert executor.started.count("two/seed0/evaluate") == 2
    [end] = [
        r
        for r in read_run_records(tmp_path / "run")
        if (r.detector, r.stage) == ("two", "evaluate")
    ]
    assert end.status == "failed"
    assert end.error.startswith("its process vanished (2 attempts)")


def test_an_interrupted_job_is_continued(run):
    executor, _, failed = run(fates={"one/seed0/train": ["interrupted", "ok"]})
    assert not failed
    assert executor.started.count("one/seed0/train") == 2


def test_interruptions_count_only_when_the_cell_got_no_further(run, tmp_path: Path):
    further = ["interrupted 10", "interrupted 20", "interrupted 30", "", "interrupted 40", "ok"]
    stuck = ["interrupted 10", "interrupted 10", "interrupted 10", "ok"]
    executor, work, failed = run(fates={"one/seed0/train": further, "two/seed0/train": stuck})
    assert failed
    assert executor.started.count("one/seed0/train") == 6
    assert executor.started.count("two/seed0/train") == 3
    assert {cell.detector for cell in work.failed} == {"two"}


def test_cells_that_are_done_are_kept(tmp_path: Path, plan: Plan, monkeypatch):
    monkeypatch.setattr(executing, "POLL_SECONDS", 0.0)
    executor = Pretended(tmp_path / "run")
    done = {cell for cell in plan.cells if cell.detector == "one"}
    work = Work(plan, tmp_path / "run", done, Reporter(), lambda: None)
    assert not run_jobs(work, executor, [])
    assert all(name.startswith("two") for name in executor.started)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_whatever_ends_the_loop_stops_the_jobs(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
):
    monkeypatch.setattr(executing, "POLL_SECONDS", 0.0)
    bug = {"two/seed0/train": ["bug"]} if error is ZeroDivisionError else {}
    executor = Pretended(tmp_path / "run", slots=2, fates=bug)

    def between() -> None:
        raise error

    work = Work(plan, tmp_path / "run", set(), Reporter(), between)
    with pytest.raises(error):
        run_jobs(work, executor, [])
    assert executor.stopped == [executor.seen[-1][-1]]


def test_a_cell_that_a_stray_process_works_on_is_left_to_it(run, tmp_path: Path):
    """Its job is refused again and again; its records are the other process's to write."""
    folder = tmp_path / "run"
    lost = {"one/seed0/evaluate": ["", ""]}
    path = layout.records_file(folder, "one", 0, "evaluate", "")
    with locked(path.with_suffix(".lock"), "the cell"):
        _, work, failed = run(fates=lost)
    assert failed
    assert [cell.name for cell in work.failed] == ["one/seed0/evaluate"]
    assert not path.exists()


def test_how_an_earlier_call_ended_is_not_how_this_one_does(run, tmp_path: Path):
    earlier = Record("r", "one", 0, "evaluate", "f", "cell", 1.0, "", status="failed", error="then")
    write_records(tmp_path / "run", [earlier])
    executor, _, failed = run(fates={"one/seed0/evaluate": ["", "ok"]})
    assert not failed
    assert executor.started.count("one/seed0/evaluate") == 2
