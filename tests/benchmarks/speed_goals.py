"""Measures the goals of speed, prints them and keeps them with their provenance.

    python tests/benchmarks/speed_goals.py [--run RUN] [--device cuda] [--out results/speed.csv]

RUN is a run folder of suites/tinydet.yaml, whose weights are then timed; without it the weights
are random, with 80 classes. Beside OUT lies `<name>.environment.json`.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from in_turn import Goal
from rich.console import Console
from rich.table import Table

from harness.records.environment import describe_environment
from harness.run.memory import keep_freed_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    os.chdir(Path(__file__).parents[2])
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    if args.device == "cuda":
        from goals_cuda import measure
    else:
        from goals_cpu import measure
    found = []
    for goal in measure(args.run):
        found.append(goal)
        print(f"{goal.what}: {goal.value:.4g} {goal.unit} ({goal.detail})", flush=True)
    Console().print(table(found))
    if args.out is not None:
        write(args.out, found, args.threads)


def table(goals: list[Goal]) -> Table:
    shown = Table("what", "measured", "goal", "", box=None, pad_edge=False)
    for g in goals:
        met = "met" if g.met else "missed"
        shown.add_row(g.what, f"{g.value:.3g} {g.unit}", f"{g.kind} {g.limit:g}", met)
    return shown


def write(path: Path, goals: list[Goal], threads: int) -> None:
    rows = [{**asdict(g), "met": g.met} for g in goals]
    pd.DataFrame(rows).to_csv(path, index=False)
    about = {**describe_environment().to_dict(), "threads": threads}
    path.with_suffix(".environment.json").write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
