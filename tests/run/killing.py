"""A run that is killed at random moments and resumed until it is done, against one that is not.

By itself: `PYTHONPATH=tests python tests/run/killing.py --kills 100 [--jobs 2] [--data FOLDER]`.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from cell_jobs import assert_equal_weights, ends
from tiny_suite import PLUGIN, environment, make_coco, tiny, write_manifest
from warm_processes import Popen

from harness.records.store import read_run_records

RUN = ["run", "m.yaml", "-p", str(PLUGIN), "--device", "cpu", "--stages", "train,evaluate,cost"]
CLOCKED = ("seconds", "time", "wait", "images_per_second", "memory")
SLOW = {"TINY_SLEEP_losses": "0.05", "TINY_SLEEP_network": "0.1"}
STEPS = 30


@dataclass
class Kills:
    """How often, and when: `moments` are shares of the time that the whole run took."""

    wanted: int
    options: Sequence[str] = ()
    moments: list[float] = field(default_factory=list)
    runs: int = 0


def prepare(folder: Path, data: Path) -> None:
    folder.mkdir()
    path = write_manifest(folder / "m.yaml", data, [tiny("one"), tiny("two", channels=4)])
    path.write_text(path.read_text().replace("steps: 2,", f"steps: {STEPS}, log_every: 1,"))


def start(folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    with (folder / "said.txt").open("ab") as said:
        return Popen(
            [sys.executable, "-m", "harness", *RUN, "--run-id", "s", *options],
            cwd=folder, env={**environment(folder), **SLOW}, stdout=said, stderr=said,
        )  # fmt: skip


def run_whole(folder: Path, data: Path, options: Sequence[str]) -> float:
    """Returns: its seconds."""
    prepare(folder, data)
    began = time.monotonic()
    assert start(folder, *options).wait() == 0, (folder / "said.txt").read_text()
    return time.monotonic() - began


def run_killed(folder: Path, data: Path, seconds: float, kills: Kills, draw: random.Random) -> None:
    """Kill it and resume it until it is done, or was killed as often as is wanted."""
    prepare(folder, data)
    kills.runs += 1
    while True:
        resume = ["--resume"] if (folder / "results/tiny/s/plan.json").is_file() else []
        process = start(folder, *kills.options, *resume)
        moment = draw.uniform(0.1, 1.0)
        if len(kills.moments) == kills.wanted:
            moment = 1000.0
        try:
            code = process.wait(moment * seconds)
            assert code == 0, (folder / "said.txt").read_text()
            return
        except subprocess.TimeoutExpired:
            # at once: a cell whose harness is gone would be told to end, and save
            everybody = [psutil.Process(process.pid)]
            everybody += everybody[0].children(recursive=True)
            for one in everybody:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()
            psutil.wait_procs(everybody, timeout=60)
            kills.moments.append(moment)


def assert_nothing_lost(whole: Path, killed: Path) -> None:
    """Equal records but for times, equal weights to the bit, and no file that is half there."""
    assert set(ends(killed).values()) == {"ok"}
    assert measured(whole) == measured(killed)
    assert_equal_weights(whole, killed)
    run = killed / "results/tiny/s"
    assert not list(run.rglob("*.tmp"))
    for path in (whole / "results/tiny/s").rglob("detections.json"):
        same = run / path.relative_to(whole / "results/tiny/s")
        assert same.read_bytes() == path.read_bytes()
    for log in run.rglob("train_log.jsonl"):
        steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
        assert steps == list(range(1, STEPS + 1))


def measured(folder: Path) -> list[str]:
    """Every record: of what depends on the clock, that it is there."""
    return [
        f"{r.place[1:]} {r.kind} {r.metric} {r.scope} {r.status} {r.weights} {r.fingerprint} "
        f"{'' if any(word in r.metric for word in CLOCKED) else r.value}"
        for r in read_run_records(folder / "results/tiny/s")
    ]


def kill_often(folder: Path, data: Path, kills: Kills, seed: int) -> None:
    draw = random.Random(seed)
    seconds = run_whole(folder / "whole", data, kills.options)
    while len(kills.moments) < kills.wanted:
        killed = folder / f"killed{kills.runs}"
        run_killed(killed, data, seconds, kills, draw)
        assert_nothing_lost(folder / "whole", killed)
        print(f"{len(kills.moments)} of {kills.wanted} kills", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = given.data or make_coco(folder / "data", images=12)
        options = [] if given.jobs is None else ["--jobs", str(given.jobs)]
        kills = Kills(given.kills, options)
        kill_often(folder, data.absolute(), kills, given.seed)
    print(f"{len(kills.moments)} kills in {kills.runs} runs: nothing lost")


if __name__ == "__main__":
    main()
