"""Processes that are really killed, and really several."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import warm_processes
from toy_training import SEED, ToyDetector, ToyLoader, toy_settings
from warm_processes import Popen

from harness.files import read_json_lines
from harness.model.checkpoint import read_checkpoint
from harness.stages.train.loop import train

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("toy_training.py")
ROOT = PROGRAM.parents[3]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    "OMP_NUM_THREADS": "1",
}


@contextmanager
def program(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    with Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_at(process: subprocess.Popen[str], step: int, signum: int) -> str:
    """Send `signum` once the process tells of `step`; what it says after that."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == f"step {step}":
            process.send_signal(signum)
            break
    return process.stdout.read()


def resume(folder: Path, resumed: bool) -> None:
    train(
        ToyDetector(),
        lambda rank, world: ToyLoader(4 // world, rank, world),
        toy_settings(),
        seed=SEED,
        folder=folder,
        fingerprint="toy",
        resume=resumed,
    )


def test_terminated_then_killed_then_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    """SIGTERM within the second epoch, SIGKILL within the fourth, then to the end: same bits."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    resume(whole, False)
    with program(cut, "--pause", 0.2) as process:
        said = kill_at(process, 7, signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    stopped_at = read_checkpoint(cut / "checkpoint.pt").meta["step"]
    assert f"SIGTERM at step {stopped_at} of 20" in said
    assert stopped_at in (7, 8)
    with program(cut, "--resume", "--pause", 0.2) as process:
        kill_at(process, 17, signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    assert read_checkpoint(cut / "checkpoint.pt").meta["step"] == 15
    resume(cut, True)
    expected, found = (read_checkpoint(f / "checkpoint.pt").state for f in (whole, cut))
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert [line["step"] for line in read_json_lines(cut / "train_log.jsonl")] == [
        *range(3, 20, 3),
        20,
    ]


def test_two_processes_train_one_detector(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    done = warm_processes.run(
        [*command, PROGRAM, tmp_path, "--dump-rank", "--epochs", "12"], env=ENVIRONMENT, timeout=200
    )
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    saved = read_checkpoint(tmp_path / "checkpoint.pt")
    assert saved.meta["step"] == 12 * 5  # 20 images, 2 processes with 2 each
    assert set(saved.state) == set(first)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert [name for name in first if not torch.equal(first[name], saved.state[name])] == []
    lines = read_json_lines(tmp_path / "train_log.jsonl")
    assert [line["step"] for line in lines] == list(range(3, 61, 3))
    assert lines[-1]["loss_cls"] < 0.7 * lines[0]["loss_cls"]
