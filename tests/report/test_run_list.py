"""The line of a run in a list of runs."""

import math
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from making_runs import make_run
from rich.console import Console

from harness.records.about import About
from harness.report.run_list import runs_grid
from harness.results.run import Run


def line_of(run: Run) -> str:
    out = StringIO()
    console = Console(file=out, width=240, highlight=False)
    console.print(runs_grid([run], run.folder.parent))
    return " ".join(out.getvalue().splitlines()[-1].split())


@pytest.mark.parametrize(
    ("detectors", "told"),
    [
        ({"a": 0.30, "b": 0.41, "c": 0.24}, "b AP 41.0, of 3"),
        ({"only": 0.30}, "only AP 30.0"),
        ({"a": 0.30, "b": math.nan}, "a AP 30.0"),
    ],
)
def test_the_best_by_the_main_score(tmp_path: Path, detectors: dict[str, float], told: str) -> None:
    assert told in line_of(make_run(tmp_path / "run", detectors=detectors, seeds=(0,)))


def test_equals_have_no_best(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", detectors={"a": 0.3, "b": 0.3}, seeds=(0,))
    assert " AP " not in line_of(run)


def test_seeds_cells_and_what_people_say(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", detectors={"a": 0.3, "b": 0.4}, seeds=(0, 1, 2))
    line = line_of(replace(run, about=About("the first try", ("paper",))))
    assert line.startswith("run ")
    assert "24 of 24 " in line
    assert "b AP 40.4, of 2 x 3 seeds" in line
    assert line.endswith("#paper the first try")
