"""Ctrl-C and SIGTERM at several moments of one run: nothing measured is lost, all of it resumes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_suite import PLUGIN, environment, tiny, write_manifest
from warm_processes import Popen

from harness import load_results
from harness.records.store import read_run_records

pytestmark = pytest.mark.slow

LONG = 600.0  # seconds that a stage dawdles, unless it is interrupted
RUN = ["run", "m.yaml", "-p", str(PLUGIN), "--run-id", "s"]


def interrupt(
    folder: Path, signum: int, after: str, *options: str, **slow: float
) -> tuple[int, str]:
    """Run until a line with `after` was printed, then signal all its processes, as a shell does.

    Returns:
        exit code and what it printed on stderr.
    """
    variables = {f"TINY_SLEEP_{place}": str(seconds) for place, seconds in slow.items()}
    process = Popen(
        [sys.executable, "-m", "harness", *RUN, *options],
        cwd=folder, env={**environment(folder), **variables}, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    seen = []
    try:
        for line in process.stderr:
            seen.append(line)
            if after in line:
                break
        else:
            pytest.fail("".join(seen))
        time.sleep(0.3)
        os.killpg(process.pid, signum)
        _, rest = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, "".join(seen) + rest


def ends(folder: Path) -> dict[str, str]:
    """Stage -> how its last attempt ended."""
    records = read_run_records(folder / "results" / "tiny" / "s")
    return {r.stage: r.status for r in records if r.kind == "cell"}


def test_interruptions_at_every_stage_lose_nothing(cli, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data, [tiny()])
    steps = ["--set", "detectors.tiny.train.steps=20", "--set", "detectors.tiny.train.workers=1"]
    run = tmp_path / "results" / "tiny" / "s"

    slow_data = ["--set", "data.use=slow", *steps]
    code, err = interrupt(tmp_path, signal.SIGINT, "preparing", *slow_data, prepare=LONG)
    assert (code, err.splitlines()[-1]) == (130, "harness: interrupted")
    assert not run.exists()

    code, err = interrupt(tmp_path, signal.SIGTERM, "] tiny seed 0 train", *steps, losses=0.2)
    assert code == 143, err
    assert err.splitlines()[-1] == "harness: interrupted; --resume --run-id s continues"
    assert ends(tmp_path) == {"train": "interrupted"}

    resumed = ["--resume", *steps]
    code, err = interrupt(tmp_path, signal.SIGINT, "] tiny seed 0 evaluate", *resumed, network=LONG)
    assert code == 130, err
    assert ends(tmp_path) == {"train": "ok", "evaluate": "interrupted"}

    endless = [*resumed, "--set", "latency.runs=100000000"]
    code, err = interrupt(tmp_path, signal.SIGTERM, "] tiny seed 0 latency", *endless)
    assert code == 143, err
    assert ends(tmp_path) == {
        "train": "ok", "evaluate": "ok", "cost": "ok", "latency": "interrupted",
    }  # fmt: skip
    assert "Traceback" not in err
    frame = load_results(run / "results.csv")
    assert {"train", "evaluate", "cost"} <= set(frame[frame["status"] == "ok"]["stage"])

    done = cli("run", "m.yaml", "--run-id", "s", *resumed)
    assert done.code == 0, done.err
    assert "tiny seed 0 evaluate: kept" in done.err
    assert "tiny seed 0 cost: kept" in done.err
    assert set(ends(tmp_path).values()) == {"ok"}
    assert set(load_results(run)["status"]) == {"ok"}

    straight = cli("run", "m.yaml", "--run-id", "straight", *steps)
    assert straight.code == 0, straight.err
    frames = [load_results(run.with_name(name)) for name in ("s", "straight")]
    values = [
        f[f["stage"] == "evaluate"].query("metric != 'cell_seconds'")["value"] for f in frames
    ]
    assert values[0].reset_index(drop=True).equals(values[1].reset_index(drop=True))
