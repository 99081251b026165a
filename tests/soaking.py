"""Hundreds of cells in one process, looked at from outside: does anything grow?

By itself: `PYTHONPATH=tests python tests/soaking.py --cells 300`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import psutil
from tiny_suite import HARNESS, PLUGIN, environment, make_coco, tiny, write_manifest

from harness.records.store import read_run_records

STAGES = ("train", "evaluate", "cost")


@dataclass(frozen=True)
class Look:
    """At a process when a cell is over: bytes resident, open files, threads, and the time."""

    rss: int
    files: int
    threads: int
    seconds: float


@dataclass(frozen=True)
class Soak:
    """Looks, one per cell; how long the cells say that they took themselves, in seconds."""

    looks: list[Look]
    cells: list[float]

    def overhead(self) -> float:
        """Median seconds from the end of a cell to that of the next, but for the cell's own."""
        ends = [look.seconds for look in self.looks]
        between = [after - before for before, after in pairwise(ends)]
        return median(took - own for took, own in zip(between, self.cells[1:], strict=True))


def soak(folder: Path, data: Path, cells: int) -> Soak:
    """Train, evaluate and cost one small detector after the other, in one process."""
    count = -(-cells // len(STAGES))
    names = [f"d{number:03}" for number in range(count)]
    write_manifest(folder / "m.yaml", data, map(tiny, names))
    options = ["-p", str(PLUGIN), "--device", "cpu", "--run-id", "s", "--stages", ",".join(STAGES)]
    command = [*HARNESS, "run", "m.yaml", *options]
    looks = []
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as run:  # fmt: skip
        process = psutil.Process(run.pid)
        assert run.stderr is not None
        for line in run.stderr:
            if line.rstrip().endswith(": ok"):
                seen, now = process, time.monotonic()
                found = seen.memory_info().rss, seen.num_fds(), seen.num_threads()
                looks.append(Look(*found, now))
    assert run.returncode == 0
    records = read_run_records(folder / "results/tiny/s")
    own = [record.value for record in records if record.metric == "cell_seconds"]
    assert len(looks) == len(own) == count * len(STAGES)
    return Soak(looks, own)


def growth(looks: list[Look], key: str) -> float:
    """Least of the last fifth over the least of the second: the first is still warming up.

    The least, as the next cell may have begun when it is looked at.
    """
    values, part = [getattr(look, key) for look in looks], len(looks) // 5
    return float(min(values[-part:]) / min(values[part : 2 * part]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=300)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        found = soak(folder, make_coco(folder / "coco"), asked.cells)
    told = {key: round(growth(found.looks, key), 4) for key in ("rss", "files", "threads")}
    last = found.looks[-1]
    json.dump(
        {
            "cells": len(found.cells), "growth": told, "rss_mib": round(last.rss / 2**20),
            "files": last.files, "threads": last.threads,
            "overhead_s": round(found.overhead(), 4), "cell_s": round(median(found.cells), 4),
        },
        sys.stdout,
    )  # fmt: skip
    print()
