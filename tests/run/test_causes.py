"""What happens to a run from outside costs a cell at most, is told in a line, can be resumed."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cell_jobs import ends
from tiny_suite import PLUGIN, harness, harness_here, make_coco, tiny, write_manifest

from harness.records.store import read_run_records

pytestmark = pytest.mark.slow

CAUSES = PLUGIN.with_name("causes.py")
RUN = ["run", "m.yaml", "-p", PLUGIN, "-p", CAUSES, "--device", "cpu", "--run-id", "s"]
Start = Callable[..., "subprocess.CompletedProcess[str]"]
FAST = ["--stages", "train,evaluate,cost"]


def fated(what: str, place: object = "") -> str:
    params = json.dumps({"what": what, "place": str(place)})
    return f"  one: {{detector: {{use: fated, params: {params}}}}}"


def write_suite(folder: Path, root: Path, *detectors: str, steps: int = 4) -> None:
    path = write_manifest(folder / "m.yaml", root, detectors)
    path.write_text(path.read_text().replace("steps: 2,", f"steps: {steps},"))


def run(folder: Path, *options: object, code: int, start: Start = harness) -> str:
    """What it says, without tables."""
    done = start(*RUN, *FAST, *options, cwd=folder)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_file_that_vanishes_fails_what_reads_it(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "data")
    photo = root / "val" / "2.jpg"
    write_suite(tmp_path, root, fated("vanish", photo), tiny("two"))
    said = run(tmp_path, code=1, start=harness_here)
    assert ends(tmp_path) == {
        "one/0/train": "ok", "one/0/evaluate": "failed", "one/0/cost": "ok",
        "two/0/train": "ok", "two/0/evaluate": "failed", "two/0/cost": "ok",
    }  # fmt: skip
    assert f"one seed 0 evaluate: failed: {photo}" in said
    photo.with_suffix(".gone").rename(photo)
    run(tmp_path, "--resume", code=0, start=harness_here)
    assert set(ends(tmp_path).values()) == {"ok"}


def test_a_clock_that_jumps_changes_no_duration(tmp_path: Path, data: Path) -> None:
    write_suite(tmp_path, data, fated("clock"))
    run(tmp_path, code=0)
    seconds = {
        r.metric: r.value
        for r in read_run_records(tmp_path / "results/tiny/s")
        if r.kind == "measurement" and "seconds" in r.metric
    }
    assert "cell_seconds" in seconds
    assert all(0 <= value < 1000 for value in seconds.values()), seconds


def test_memory_that_runs_out_fails_a_cell(tmp_path: Path, data: Path) -> None:
    """What a training cannot have fails it alone, and its line says so."""
    write_suite(tmp_path, data, fated("memory"), tiny("two"))
    said = run(tmp_path, "--jobs", "1", code=1, start=harness_here)
    assert ends(tmp_path)["one/0/train"] == "failed"
    assert {ends(tmp_path)[f"two/0/{stage}"] for stage in ("train", "evaluate", "cost")} == {"ok"}
    [line] = [line for line in said.splitlines() if "one seed 0 train: failed" in line]
    assert "memory" in line


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, on which results lie."""
    place = tmp_path / "results"
    place.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    if not mounted or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_full(disk: Path, tmp_path: Path, data: Path) -> None:
    """In the midst of a training; there is room again later."""
    ballast = disk / "ballast"
    write_suite(tmp_path, data, tiny("two"), fated("full", ballast))
    line = run(tmp_path, code=2).splitlines()[-1]
    assert "No space left on device" in line
    assert "--resume" in line
    assert ballast.stat().st_size > 2**20
    ballast.write_bytes(b"")
    run(tmp_path, "--resume", code=0)
    assert set(ends(tmp_path).values()) == {"ok"}


def test_a_disk_that_becomes_read_only(disk: Path, tmp_path: Path, data: Path) -> None:
    """In the midst of a training, as disks do that have errors; it is repaired later."""
    write_suite(tmp_path, data, tiny("two"), fated("locked", disk))
    line = run(tmp_path, code=2).splitlines()[-1]
    assert "Read-only file system" in line
    subprocess.run(["umount", str(disk)], check=True)
    run(tmp_path, "--resume", code=0)
    assert set(ends(tmp_path).values()) == {"ok"}
