"""Provenance: what it says, and when two environments are the same."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

import pytest

from harness.records.environment import describe_environment, git_state


@pytest.fixture(scope="module")
def environment():
    return describe_environment()


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)


def test_environment_is_plain_and_names_what_numbers_depend_on(environment):
    plain = json.loads(json.dumps(environment.to_dict()))
    assert plain["id"] == environment.id
    assert plain["packages"]["torch"] == version("torch")
    assert plain["packages"]["faster-coco-eval"] == version("faster-coco-eval")
    assert plain["cpu"]["model"]
    assert plain["cpu"]["memory_gib"] > 0
    assert plain["ops"]["cpu"] in ("compiled-cpu", "reference")
    assert plain["settings"]["torch_threads"] >= 1
    assert plain["os"]


def test_id_is_that_of_the_content(environment):
    assert replace(environment).id == environment.id
    assert replace(environment, command="other").id != environment.id
    packages = {**environment.packages, "torch": "0"}
    assert replace(environment, packages=packages).id != environment.id


def test_git_state_tells_commit_and_changes(tmp_path):
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) == {}
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "first")
    state = git_state(tmp_path)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "new").write_text("untracked files change nothing")
    assert git_state(tmp_path) == state
    (tmp_path / "file").write_text("b")
    assert git_state(tmp_path) == {**state, "dirty": True}


def test_somebody_elses_repository_is_not_the_projects(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "first")
    inside = tmp_path / "site-packages"
    inside.mkdir()
    (inside / "__init__.py").write_text("")
    assert git_state(inside, tracked="__init__.py") == {}
    assert git_state(inside) != {}


def test_no_git_is_an_empty_state(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {}


def test_importing_it_imports_no_torch():
    code = "import sys, harness.records.environment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
