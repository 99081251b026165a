"""A backbone from outside the tree runs a suite under the shipped neck, RPN and head."""

import json
import os
from pathlib import Path

import pytest
import warm_processes
from outside import install
from outside_backbone import BACKBONE, DETECTOR
from tiny_suite import HARNESS, environment, write_manifest

from harness import load_results

pytestmark = pytest.mark.slow

METERS = "meters=[coco_ap, parameters, macs_paper, latency]"


def check_run(folder: Path, plugin: str) -> None:
    frame = load_results(folder)
    assert set(frame["status"]) == {"ok"}
    assert list(dict.fromkeys(frame["stage"])) == ["train", "evaluate", "cost", "latency"]
    backbone = frame[(frame["metric"] == "parameters") & (frame["scope"] == "role/backbone")]
    weights = 3 * 6 * 64 + 6 + 3 * (6 * 6 * 4 + 6)
    assert backbone["value"].iloc[0] * 1e6 == weights
    plan = json.loads((folder / "plan.json").read_text())
    part = plan["detectors"]["mine"]["parts"]["backbone"]
    assert (part["use"], part["params"], part["plugin"][0]) == ("stripes", {"width": 6}, plugin)


def test_by_entry_point(tmp_path: Path, data: Path):
    site = tmp_path / "site"
    install(site, "stripes_plugin", BACKBONE.format(module="stripes_plugin"), version="3.2")
    write_manifest(tmp_path / "m.yaml", data, [DETECTOR])
    done = warm_processes.run(
        [*HARNESS, "run", "m.yaml", "--run-id", "r", "--set", METERS],
        cwd=tmp_path,
        env={**environment(tmp_path), "PYTHONPATH": os.pathsep.join([str(site), *python_path()])},
    )
    assert done.returncode == 0, done.stderr
    check_run(tmp_path / "results" / "tiny" / "r", "stripes_plugin")


def python_path() -> list[str]:
    return [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []


def test_by_option(cli, tmp_path: Path, data: Path):
    (tmp_path / "stripes_file.py").write_text(BACKBONE.format(module="stripes_file"))
    write_manifest(tmp_path / "m.yaml", data, [DETECTOR])
    done = cli("run", "m.yaml", "--run-id", "r", "-p", "stripes_file.py", "--set", METERS)
    assert done.code == 0, done.err
    check_run(tmp_path / "results" / "tiny" / "r", "stripes_file")


def test_without_the_plugin_the_part_is_missed(cli, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data, [DETECTOR])
    (tmp_path / "stripes_broken.py").write_text("import nothing_of_this_name")
    done = cli("run", "m.yaml", "-p", "stripes_broken.py")
    assert done.code == 2
    last = done.err.splitlines()[-1]
    assert "no backbone is called 'stripes'" in last
    assert "plugin 'stripes_broken.py' failed to load: ModuleNotFoundError" in last
