"""Measures the goals of speed, prints each as it is known and keeps them with their provenance.

    python tests/benchmarks/speed_goals.py [--device cuda] [--only GROUP,...] [--run RUN]
        [--data DATA] [--out results/speed.csv]

RUN is a run folder of suites/tinydet.yaml, whose weights are then timed; without it the weights
are random, with 80 classes. DATA is a folder in COCO's layout for the group `suite` (CUDA), a whole
run. With --only, OUT keeps its rows of other groups. Beside it lies `<name>.environment.json`.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import perf_counter

import torch
from goal_files import write_goals
from in_turn import Goal
from rich.console import Console
from rich.table import Table

from harness.records.environment import cpu_model, describe_environment
from harness.run.memory import keep_freed_memory

PATHS = ("run", "data", "out")
Group = Callable[[Path | None], Iterator[Goal]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="groups of goals, with commas between them")
    parser.add_argument("--list", action="store_true", help="list the groups and stop")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    paths = {name: value and value.resolve() for name, value in vars(args).items() if name in PATHS}
    os.chdir(Path(__file__).parents[2])
    groups = groups_of(args.device, paths["data"])
    if args.list:
        print(*groups, sep="\n")
        return
    wanted = args.only.split(",") if args.only else list(groups)
    if unknown := set(wanted) - set(groups):
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(groups)}")
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    found: dict[str, list[Goal]] = {}
    for name in wanted:
        found[name] = measure(name, groups[name], paths["run"])
        if paths["out"] is not None:  # at once: what comes next may fail
            about = {**describe_environment().to_dict(), "threads": args.threads}
            write_goals(paths["out"], {name: found[name]}, device_name(args.device), about)
    Console().print(table(found))
    if args.device == "cuda" and paths["data"] is None:
        print("left out: the group 'suite', a whole run, which needs --data")


def groups_of(device: str, data: Path | None) -> Mapping[str, Group]:
    if device == "cpu":
        from goals_cpu import GROUPS

        return GROUPS
    from goals_cuda import groups

    return groups(data)


def measure(name: str, group: Group, run: Path | None) -> list[Goal]:
    found, start = [], perf_counter()
    for goal in group(run):
        found.append(goal)
        mark = "met" if goal.met else "missed"
        limit = f"{goal.kind} {goal.limit:g}: {mark}"
        print(f"{goal.what}: {goal.value:.4g} {goal.unit}, {limit} ({goal.detail})", flush=True)
    print(f"-- {name}: {perf_counter() - start:.0f} s", flush=True)
    return found


def device_name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return cpu_model()


def table(found: Mapping[str, list[Goal]]) -> Table:
    shown = Table("group", "what", "measured", "goal", "", box=None, pad_edge=False)
    for group, goals in found.items():
        for g in goals:
            met = "met" if g.met else "missed"
            limit = f"{g.kind} {g.limit:g}"
            shown.add_row(group, g.what, f"{g.value:.3g} {g.unit}", limit, met)
    return shown


if __name__ == "__main__":
    main()
