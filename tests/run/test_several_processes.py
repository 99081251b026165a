"""The whole command under torchrun: two processes on the CPU make one run."""

import subprocess
import sys
from pathlib import Path

import pytest
import warm_processes
from tiny_suite import PLUGIN, environment, write_manifest

from harness import load_results
from harness.records.store import read_run_records

pytestmark = pytest.mark.slow


def torchrun(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, "-m", "harness", "run", "m.yaml", "-p", PLUGIN, "--device", "cpu"]
    return warm_processes.run(
        [*command, *arguments], cwd=folder, env=environment(folder), timeout=240
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("together")
    write_manifest(folder / "m.yaml", data)
    done = torchrun(folder, "--run-id", "two")
    assert done.returncode == 0, done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    return folder


def test_two_processes_leave_one_run(together: Path):
    [run] = (together / "results" / "tiny").iterdir()
    ends = [r for r in read_run_records(run) if r.kind == "cell"]
    assert [(r.stage, r.status) for r in ends] == [
        (stage, "ok") for stage in ("train", "evaluate", "cost", "latency")
    ]
    assert (run / "report.html").is_file()
    assert (together / "stdout.txt").read_text().count("report: ") == 1


def test_every_image_is_evaluated_once(together: Path):
    frame = load_results(together / "results" / "tiny" / "two")
    row = frame[(frame["metric"] == "ap") & (frame["scope"] == "")].iloc[0]
    assert row["count"] == 4
