"""`harness new`: what it writes is a package that installs, passes its tests and runs."""

import json
from pathlib import Path

import pytest
from outside_packages import install, run_with

from harness.cli.new import Kind
from harness.results.run_folder import read_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a package of every kind is installed; they lie beside it."""
    folder = tmp_path_factory.mktemp("new")
    (folder / "site").mkdir()
    for kind in Kind:
        run_with(folder, "harness", "new", kind, f"my_{kind}", "--to", folder, cwd=folder)
        install(folder / f"my_{kind}", folder / "site")
    return folder / "site"


def test_packages_pass_their_tests(site: Path):
    folder = site.parent
    tests = [folder / f"my_{kind}" / "tests" for kind in Kind]
    said = run_with(site, "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=folder)
    assert f"{len(Kind) + 1} passed" in said  # a reader has two


def test_they_are_found_and_run(site: Path):
    folder = site.parent
    listed = run_with(site, "harness", "list", cwd=folder)
    for kind in Kind:
        assert f"my_{kind}".replace("_", "-" if kind == Kind.section else "_") in listed
    suite = folder / "my_roi_op" / "suite.yaml"
    choice = [
        "--stages", "train,evaluate,cost", "--device", "cpu", "--run-id", "s", "--only", "mine",
        "--set", "meters=[coco_ap,my_meter,parameters]", "--set", "columns=[ap,my_meter]",
        "--set", "detectors.mine.train.steps=2", "--set", "detectors.mine.train.batch_size=1",
        "--set", "evaluate.max_images=8",
    ]  # fmt: skip
    run_with(site, "harness", "run", suite, *choice, cwd=folder)
    found = folder / "results" / "my_roi_op" / "s"
    assert 'id="my-section"' in (found / "report.html").read_text()
    metrics = json.loads((found / "plan.json").read_text())["metrics"]
    assert "my_meter" in json.dumps(metrics)
    assert read_run(found).estimate("mine", "my_meter").is_there


@pytest.mark.parametrize(
    ("kind", "detector"), [("head", "mine"), ("mode", "small"), ("recipe", "mine")]
)
def test_a_suite_runs(site: Path, kind: str, detector: str):
    folder = site.parent
    choice = [
        "--device", "cpu", "--run-id", "s", "--only", detector,
        "--set", "detectors.*.train.steps=2", "--set", "detectors.*.train.batch_size=1",
        "--set", "evaluate.max_images=8",
        "--set", "latency.runs=2", "--set", "latency.images=2", "--set", "latency.warmup_seconds=0",
    ]  # fmt: skip
    run_with(site, "harness", "run", folder / f"my_{kind}" / "suite.yaml", *choice, cwd=folder)
    run = read_run(folder / "results" / f"my_{kind}" / "s")
    ends = {(r.stage, r.mode, r.status) for r in run.records if r.kind == "cell"}
    modes = ["eager", "my_mode"] if kind == "mode" else ["eager"]
    assert ends == {
        *((stage, "", "ok") for stage in ("train", "evaluate", "cost")),
        *(("latency", mode, "ok") for mode in modes),
    }
    assert run.estimate(detector, "ap").is_there
    if kind == "recipe":
        plan = json.loads((folder / "results" / "my_recipe" / "s" / "plan.json").read_text())
        mine = plan["detectors"]["mine"]
        assert mine["recipe"]["use"] == "my_recipe"
        assert "photometric" in json.dumps(mine["train"]["augment"])  # the suite flips alone


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Wide-Net", "is not the name of a package"),
        ("class", "is not the name of a package"),
        ("torch", "there is a package 'torch' already"),
        ("there", "exists already"),
    ],
)
def test_names_that_cannot_be(cli, tmp_path: Path, name: str, told: str):
    (tmp_path / "there").mkdir()
    done = cli("new", "backbone", name)
    assert done.code == 2
    assert told in done.mistake
    assert not list((tmp_path / "there").iterdir())
