"""What the goals of speed are printed and kept by; they themselves are measured by hand."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import speed_goals
from goal_files import environments_file, write_goals
from in_turn import LEAST_ROUNDS, Goal, at_least, at_most, fastest, time_in_turn

RunGoals = Callable[..., tuple[object, str, str]]


def goal(value: float, what: str = "one") -> Goal:
    return Goal(what, value, "x", "at most", 1.0, 5, "")


def test_a_partial_run_replaces_its_own_rows_only(tmp_path: Path):
    path = tmp_path / "speed.csv"
    both = {"latency": [goal(0.5), goal(2.0, "two")], "training": [goal(3.0)]}
    write_goals(path, both, "first", {"run": 1})
    write_goals(path, {"latency": [goal(0.25)]}, "second", {"run": 2})
    rows = pd.read_csv(path)
    assert rows[["group", "value", "met", "device"]].to_numpy().tolist() == [
        ["training", 3.0, False, "first"],
        ["latency", 0.25, True, "second"],
    ]
    environments = json.loads(environments_file(path).read_text())
    assert environments == {"latency": {"run": 2}, "training": {"run": 1}}


def test_time_bounds_the_rounds():
    calls: list[str] = []
    functions = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    seconds = time_in_turn(functions, 1000, clock=lambda f: f() or 0.0, warm_up=1, budget=0)
    assert [len(times) for times in seconds.values()] == [LEAST_ROUNDS] * 2
    assert calls[:6] == ["a", "b", "a", "b", "b", "a"]
    assert len(time_in_turn(functions, 7)["a"]) == 7


def test_ratios_are_of_medians_and_say_who_is_faster():
    seconds = {"own": [1.0, 9.0, 1.0], "rival": [2.0, 2.0, 0.5], "third": [3.0, 3.0, 3.0]}
    assert fastest(seconds, ["third", "rival", "own"]) == "own"
    slower, faster = (
        at_most("", seconds, "own", "rival", 0.4),
        at_least("", seconds, "own", "rival", 2),
    )
    assert (slower.value, slower.met) == (0.5, False)
    assert (faster.value, faster.met) == (2.0, True)


@pytest.fixture
def run_goals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunGoals:
    """Runs the program in this process; its exit code and what it prints."""

    def run(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["speed_goals.py", *arguments])
        monkeypatch.chdir(Path(__file__).parent)  # back from where the program goes
        code: object = 0
        try:
            speed_goals.main()
        except SystemExit as stop:
            code = stop.code
        return (code, *capsys.readouterr())

    return run


def test_groups_are_listed(run_goals: RunGoals):
    assert run_goals("--list")[1].split() == ["latency", "convolutions", "ops", "training"]
    cuda = run_goals("--list", "--device", "cuda", "--data", ".")[1].split()
    assert cuda == ["latency", "throughput", "pooling", "training", "suite"]


def test_an_unknown_group_is_named(run_goals: RunGoals):
    code, _, err = run_goals("--only", "latency,nothing")
    assert code == 2
    assert "no group nothing; there are latency, convolutions" in err
