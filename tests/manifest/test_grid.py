"""`harness ablate`: every combination of some choices as a suite, or one line on what is wrong."""

from pathlib import Path

import pytest
import yaml
from tiny_suite import PLUGIN, harness_here, make_coco, tiny, write_manifest

from harness.errors import UserError
from harness.manifest.grid import parse_choice, vary
from harness.results.ablation import single_changes
from harness.results.run_folder import read_run


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    write_manifest(tmp_path / "m.yaml", make_coco(tmp_path / "data"), [tiny("a"), tiny("b")])
    return tmp_path


def ablate(folder: Path, *more: str) -> str:
    """What it says on stderr, "" where it went well."""
    done = harness_here("ablate", "m.yaml", "-p", PLUGIN, *more, cwd=folder)
    assert done.returncode == (2 if done.stderr else 0)
    return done.stderr


@pytest.mark.slow
def test_every_combination_is_planned_run_and_told_apart(suite: Path) -> None:
    grid = ["--vary", "detector.params.channels=4,8", "--vary", "train.optimizer.lr=0.1,0.2"]
    assert ablate(suite, *grid) == ""
    written = yaml.safe_load((suite / "m-ablation.yaml").read_text())
    assert written["suite"] == "tiny-ablation"
    assert list(written["detectors"]) == [
        "channels4-lr0.1", "channels4-lr0.2", "channels8-lr0.1", "channels8-lr0.2",
    ]  # fmt: skip
    done = harness_here(
        "run", "m-ablation.yaml", "-p", PLUGIN, "--device", "cpu", "--run-id", "s",
        "--stages", "train,evaluate,cost", cwd=suite,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = read_run(suite / "results/tiny-ablation/s")
    assert {one.change.what for one in single_changes(run)} == {
        "detector channels", "optimizer lr",
    }  # fmt: skip
    assert len(single_changes(run)) == 4
    page = (suite / "results/tiny-ablation/s/report.html").read_text()
    assert "channels8-lr0.1" in page[page.index('<section id="bought"') :]


def test_parts_and_lists_are_values_too() -> None:
    choice = parse_choice("neck=[{use: fpn, params: {groups: [7, 1]}}, pan]")
    assert choice.path == ("neck",)
    assert choice.values == ({"use": "fpn", "params": {"groups": [7, 1]}}, "pan")
    assert parse_choice("input.size=320,416").values == (320, 416)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--vary", "neck"], "--vary neck: is not of the form key=A,B"),
        (["--vary", "neck=a"], "--vary neck=a: needs two values or more"),
        (["--vary", "neck=[a"], "--vary neck=[a:1: is not YAML"),
        (
            ["--vary", "detector.params.channels=4,x"],
            "harness: --vary: detectors.x.detector.params.channels: input",
        ),
        (["--vary", "detector=tiny,tinny"], "no detector is called 'tinny'"),
        (
            ["--vary", "train.steps.x=1,2"],
            "--vary: detectors.x1.train.steps: input should be a valid integer",
        ),
        (["--base", "c", "--vary", "detector=tiny,tiny"], "m.yaml: has no detector 'c'"),
        (["--vary", "train.steps=" + ",".join(map(str, range(1, 70)))], "makes 69 detectors"),
        (["--vary", "train.steps=1,2", "--out", "m.yaml"], "m.yaml: exists already"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_left(
    suite: Path, more: list[str], expected: str
) -> None:
    said = ablate(suite, *more)
    assert expected in said
    assert said.count("\n") == 1
    assert not (suite / "m-ablation.yaml").exists()


def test_variants_of_one_name_are_numbered(suite: Path) -> None:
    """Values that differ in characters alone that a name cannot have."""
    where = ["'a/b'", "'a b'", "'a:b'"]
    text = vary(suite / "m.yaml", "a", [parse_choice(f"detector.params.where={','.join(where)}")])
    made = yaml.safe_load(text)["detectors"]
    assert list(made) == ["a-b", "a-b-2", "a-b-3"]
    assert [one["detector"]["params"]["where"] for one in made.values()] == ["a/b", "a b", "a:b"]


def test_the_form_is_checked_without_a_manifest() -> None:
    with pytest.raises(UserError, match="is not of the form"):
        parse_choice("=a,b")
