"""Runs of the tiny suite whose cells another process runs, for the tests of executors."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from tiny_suite import PLUGIN, environment, write_manifest
from warm_processes import Popen

from harness.records import layout
from harness.records.store import read_run_records
from harness.run.jobs import Job
from harness.run.progress import read_progress

STEPS = 20
RUN = ["run", "m.yaml", "-p", str(PLUGIN), "--run-id", "s", "--device", "cpu"]
PATIENCE = 150.0  # of a machine that does much else


def write_suite(folder: Path, data: Path, *detectors: str) -> None:
    """A manifest whose detectors train for some steps."""
    folder.mkdir(exist_ok=True)
    path = write_manifest(folder / "m.yaml", data, detectors)
    path.write_text(path.read_text().replace("steps: 2,", f"steps: {STEPS},"))


@contextmanager
def started(
    folder: Path, *options: str, variables: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """`harness run` in a folder that has a manifest, with its output in `said.txt`."""
    with (folder / "said.txt").open("w") as said:
        process = Popen(
            [sys.executable, "-m", "harness", *RUN, *options],
            cwd=folder, env={**environment(folder), **(variables or {})}, text=True,
            stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def said(folder: Path) -> str:
    return (folder / "said.txt").read_text()


def finish(process: "subprocess.Popen[str]", folder: Path, code: int = 0) -> str:
    """Wait for the end of a run.

    Returns:
        what it said.
    """
    assert process.wait(timeout=PATIENCE) == code, said(folder)
    return said(folder)


def wait_for_worker(
    run: "subprocess.Popen[str]", folder: Path, detector: str, seed: int = 0
) -> psutil.Process:
    """The process that trains a detector, once it has made some steps."""
    until = time.monotonic() + PATIENCE
    while (found := _worker_of(folder, detector, seed)) is None:
        assert run.poll() is None, said(folder)
        assert time.monotonic() < until, said(folder)
        time.sleep(0.1)
    return found


def _worker_of(folder: Path, detector: str, seed: int) -> psutil.Process | None:
    run = folder / "results" / "tiny" / "s"
    step = read_progress(layout.progress_file(run, detector, seed, "train", ""))
    if step is None or step.done < 2:
        return None
    try:
        return psutil.Process(int(step.process.split()[1]))
    except psutil.NoSuchProcess:
        return None


def ends(folder: Path) -> dict[str, str]:
    """Cell -> how its last attempt ended."""
    records = read_run_records(folder / "results" / "tiny" / "s")
    return {f"{r.detector}/{r.seed}/{r.stage}": r.status for r in records if r.kind == "cell"}


def weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Detector and seed -> the trained tensors."""
    cells = folder / "results" / "tiny" / "s" / "cells"
    return {
        str(path.parent.relative_to(cells)): torch.load(path, weights_only=True)["state_dict"]
        for path in sorted(cells.glob("*/*/checkpoint.pt"))
    }


def assert_equal_weights(one: Path, other: Path) -> None:
    """Of all detectors and seeds of two folders."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for cell, tensors in first.items():
        assert tensors.keys() == second[cell].keys()
        for name, tensor in tensors.items():
            assert torch.equal(tensor, second[cell][name]), (cell, name)


def outcome(job: Job, seconds: float = 90) -> str:
    """What becomes of a job."""
    until = time.monotonic() + seconds
    while (became := job.poll()) is None:
        assert time.monotonic() < until
        time.sleep(0.1)
    return became


def wait_for_file(path: Path, seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.1)
