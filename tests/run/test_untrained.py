"""A detector to which the manifest gives no steps."""

from pathlib import Path

import pytest
from tiny_suite import tiny, write_manifest

from harness.records.store import read_run_records

pytestmark = pytest.mark.slow

ONE_DETECTOR = "  untrained: {detector: tiny, train: {steps: 0}}"


def run(cli, *options: object) -> str:
    done = cli("run", "m.yaml", "--run-id", "r", *options)
    assert done.code == 0, done.err
    return done.out


def stages(folder: Path) -> dict[str, set[str]]:
    ends = [r for r in read_run_records(folder / "results" / "tiny" / "r") if r.kind == "cell"]
    return {
        name: {r.stage for r in ends if r.detector == name} for name in {r.detector for r in ends}
    }


def test_it_is_measured_without_scores_until_it_is_given_steps_or_weights(
    cli, tmp_path: Path, data: Path
) -> None:
    write_manifest(tmp_path / "m.yaml", data, [tiny("one"), ONE_DETECTOR])
    out = run(cli)
    assert stages(tmp_path) == {
        "one": {"train", "evaluate", "cost", "latency"},
        "untrained": {"cost", "latency"},
    }
    assert "not trained in this profile: untrained" in out
    [row] = [line for line in out.splitlines() if line.startswith("untrained")]
    assert row.split()[1] == "–"
    assert "the detector was not trained" not in out  # which is of scores
    page = (tmp_path / "results" / "tiny" / "r" / "report.html").read_text()
    assert "not trained in this profile: untrained" in page

    weights = tmp_path / "results" / "tiny" / "r" / "cells" / "one" / "seed0" / "checkpoint.pt"
    set_weights = ("--set", f"detectors.untrained.checkpoint={weights}")
    out = run(cli, "--resume", *set_weights)
    assert stages(tmp_path)["untrained"] == {"evaluate", "cost", "latency"}
    assert "not trained" not in out

    out = run(cli, "--resume", "--set", "detectors.untrained.train.steps=2")
    assert stages(tmp_path)["untrained"] == {"train", "evaluate", "cost", "latency"}
    assert "not trained" not in out
