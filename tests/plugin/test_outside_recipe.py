"""A recipe from outside the tree; what a run, its page and a comparison say of unlike recipes."""

import json
from pathlib import Path

import pytest
from page_text import text_of
from tiny_suite import tiny, write_manifest

from harness.results.run_folder import open_run

pytestmark = pytest.mark.slow

PLUGIN = """\
from harness.plugin import Recipe, hookimpl

@hookimpl
def harness_recipes():
    made = "{module}:published"
    return [Recipe("slow", made, of=("detector", "tiny"), source="a paper, section 3")]

def published(trainee):
    assert trainee.batch_size == 2
    return {{"optimizer": {{"name": "sgd", "lr": 1e-4}}, "augment": "flip", "epochs": 7}}
"""
SAID = "plain by the suite's recipe; own by the recipe slow (a paper, section 3)"


def run_both(cli, folder: Path, data: Path, module: str, run: str, *more: str):
    (folder / f"{module}.py").write_text(PLUGIN.format(module=module))
    own = tiny("own").replace("}}}", "}}, recipe: paper}")
    write_manifest(folder / "m.yaml", data, [tiny("plain"), own])
    done = cli("run", "m.yaml", "--run-id", run, "-p", f"{module}.py", *more)
    assert done.code == 0, done.err
    return done


def test_each_detector_by_its_recipe(cli, tmp_path: Path, data: Path):
    done = run_both(cli, tmp_path, data, "slowly", "r")
    assert SAID in " ".join(done.out.split())
    folder = tmp_path / "results" / "tiny" / "r"
    plan = json.loads((folder / "plan.json").read_text())["detectors"]
    assert {name: one["recipe"] for name, one in plan.items()} == {
        "plain": {"use": "same", "source": ""},
        "own": {"use": "slow", "source": "a paper, section 3"},
    }
    own = plan["own"]["train"]
    assert (own["steps"], own["epochs"], own["batch_size"]) == (2, None, 2)
    assert own["optimizer"]["params"]["lr"] == 1e-4
    assert [one["use"] for one in own["augment"]] == ["flip"]
    assert plan["plain"]["train"]["optimizer"]["params"]["lr"] == 0.02
    run = open_run(folder)
    told = {
        (record.detector, record.stage, record.conditions["recipe"])
        for record in run.measured
        if "recipe" in record.conditions
    }
    assert told == {("own", "train", "slow"), ("own", "evaluate", "slow")}
    assert SAID in text_of((folder / "report.html").read_text())
    difference = run.difference("plain", "own", "ap")
    assert not difference.mismatches


def test_one_detector_by_two_recipes_is_not_compared_unawares(cli, tmp_path: Path, data: Path):
    run_both(cli, tmp_path, data, "slower", "a")
    run_both(
        cli, tmp_path, data, "slower", "b", "--set", "detectors.own.recipe=same", "--set",
        "detectors.plain.recipe=slow",
    )  # fmt: skip
    done = cli("compare", "results/tiny/a", "results/tiny/b")
    said = " ".join((done.out + done.err).split())
    assert "recipe: slow against the suite's" in said
    assert "recipe: the suite's against slow" in said
