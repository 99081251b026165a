"""A file of detections as a detector of a suite: scored like one that was run here."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from page_text import text_of
from tiny_suite import PLUGIN, make_coco, tiny, write_manifest

from harness.files import hash_file
from harness.manifest.suite import load_manifest
from harness.plan.planner import make_plan
from harness.plugin.manager import load_plugins
from harness.records.record import Record
from harness.records.store import read_run_records
from harness.results.run_folder import read_run
from harness.run.checks import check_detectors
from harness.run.launch import Launch

pytestmark = pytest.mark.slow


def call(cli, *more: str, fails: int = 0) -> str:
    done = cli("run", "m.yaml", "--device", "cpu", "--run-id", "s", *more)
    assert done.code == fails, done.out + done.err
    return done.out + done.err


def perfect(folder: Path, name: Callable[[int, str], object]) -> list[dict[str, object]]:
    """The ground truth as detections; `name` gives an image's id from its id and file name."""
    truth = json.loads((folder / "data/annotations/instances_val.json").read_text())
    files = {image["id"]: image["file_name"] for image in truth["images"]}
    return [
        {
            "image_id": name(a["image_id"], files[a["image_id"]]),
            "category_id": a["category_id"],
            "bbox": a["bbox"],
            "score": 0.9,
            "file_name": files[a["image_id"]],  # more than COCO asks for
        }
        for a in truth["annotations"]
    ]


def scores(folder: Path, detector: str) -> list[Record]:
    return [r for r in read_run_records(folder / "results/tiny/s")
            if r.detector == detector and r.metric == "ap" and not r.scope]  # fmt: skip


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    detectors = [tiny(), "  rival: {detections: found.json}"]
    write_manifest(tmp_path / "m.yaml", make_coco(tmp_path / "data", 12), detectors)
    found = perfect(tmp_path, lambda image, file: Path(file).stem)
    (tmp_path / "found.json").write_text(json.dumps(found))
    return tmp_path


def test_it_stands_beside_ours_with_intervals_and_a_paired_difference(cli, suite: Path) -> None:
    out = call(cli, "--seeds", "0,1")
    [record] = scores(suite, "rival")
    assert (record.value, record.seed) == (pytest.approx(1.0), 0)
    assert "precision" not in record.conditions
    assert not any(f.code == "untrained" for f in record.warnings)
    assert re.search(r"\nrival +100\.0", out)
    assert "unknown" not in out
    run = read_run(suite / "results/tiny/s")
    assert {r.stage for r in run.records if r.detector == "rival"} == {"evaluate"}
    assert run.estimate("rival", "ap").low is not None
    compared = cli("compare", "results/tiny/s:tiny", "results/tiny/s:rival")
    assert "\u25b2 +100.0" in compared.out
    assert "paired bootstrap" in compared.out
    found = cli("compare", "results/tiny/s:tiny", "found.json")
    lines = [one.out.splitlines()[2].split() for one in (found, compared)]
    assert lines[0] == lines[1]
    assert lines[0][:2] == ["AP", "%"]
    turned = cli("compare", "found.json", "results/tiny/s:tiny")
    titles = [re.findall(r"(?m)^(AP\S* %|parameters|latency)", o.out) for o in (found, turned)]
    assert titles[0] == titles[1]
    same = cli("compare", "results/tiny/s:rival", "found.json")
    assert re.search(r"AP % +100\.0!? +100\.0!? +=", same.out)
    assert "another seed" not in same.out
    fewer = cli("compare", "results/tiny/s:tiny", "found.json", "--resamples", 200)
    assert "paired bootstrap" in fewer.out
    assert "\u25b2 +100.0" in fewer.out
    assert "rival" in (suite / "results/tiny/s/report.html").read_text()


def test_a_file_that_changes_is_scored_again_and_one_that_does_not_is_not(cli, suite: Path) -> None:
    call(cli, "--stages", "evaluate", "--only", "rival")
    again = call(cli, "--stages", "evaluate", "--only", "rival", "--resume")
    assert "nothing is left to run" in again
    (suite / "found.json").write_text("[]")
    call(cli, "--stages", "evaluate", "--only", "rival", "--resume")
    assert [record.value for record in scores(suite, "rival")] == [0.0]


def test_doubts_about_it_are_on_the_table_and_the_page(cli, suite: Path) -> None:
    found = json.loads((suite / "found.json").read_text())
    half = [one for one in found if int(Path(one["file_name"]).stem) % 2]
    (suite / "found.json").write_text(json.dumps(half))
    out = call(cli, "--only", "rival")
    doubt = "found.json has no detections in 6 of 12 images with objects: is it whole?"
    assert f"harness: note: detector rival: {doubt}" in out
    assert re.search(r"\nrival +[0-9.]+!", out)
    assert f"! AP: {doubt}" in " ".join(out.split())
    [record] = scores(suite, "rival")
    assert [f.level for f in record.warnings if f.code == "images_without"] == ["doubtful"]
    text = text_of((suite / "results/tiny/s/report.html").read_text())
    assert doubt in text
    assert "detections of rival found.json" in text
    assert f"detections of rival {hash_file(suite / 'found.json')}" in text


@pytest.mark.parametrize(("rank", "told"), [(0, ["rival"]), (1, [])])
def test_of_several_processes_one_tells_of_doubts(
    suite: Path, capsys: pytest.CaptureFixture[str], monkeypatch, rank: int, told: list[str]
) -> None:
    monkeypatch.chdir(suite)
    found = json.loads((suite / "found.json").read_text())
    (suite / "found.json").write_text(json.dumps(found[:2]))
    plan = make_plan(load_manifest("m.yaml"), load_plugins([str(PLUGIN)]))
    check_detectors(plan, ["rival"], Launch(torch.device("cpu"), rank, 2))
    lines = capsys.readouterr().err.splitlines()
    doubt = "found.json has no detections in 11 of 12 images with objects: is it whole?"
    assert lines == [f"harness: note: detector {of}: {doubt}" for of in told]


def test_an_option_adds_one_to_a_suite_that_has_none(cli, suite: Path) -> None:
    write_manifest(suite / "m.yaml", suite / "data", [tiny()])
    given = [
        "--detections",
        "found.json",
        "--detections",
        "again=found.json",
        "--only",
        "found,again",
    ]
    call(cli, *given)
    assert [scores(suite, name)[0].value for name in ("found", "again")] == [pytest.approx(1.0)] * 2
    gone = call(cli, "--detections", "no.json", fails=2)
    assert "'no.json' cannot be read: No such file or directory" in gone
    assert f"(the path of a file in COCO's result format, from {suite})" in gone
    built = call(cli, "--detections", "tiny=found.json", fails=2)
    assert "--detections tiny=found.json: 'tiny' is a detector of the suite" in built
    (suite / "b").mkdir()
    (suite / "b" / "found.json").write_text("[]")
    shutil.rmtree(suite / "results")
    call(cli, "--detections", "found.json,b/found.json", "--only", "found,b-found")
    assert scores(suite, "b-found")[0].value == 0.0
    twice = call(cli, "--detections", "a=found.json,a=b/found.json", fails=2)
    assert twice == "harness: --detections a=...: is given twice\n"
    bare = "suite: tiny\ndefaults: {meters: [coco_ap]}\ndetectors: {x: {detections: found.json}}\n"
    (suite / "m.yaml").write_text(bare)
    shutil.rmtree(suite / "results")
    call(cli, "--data", str(suite / "data"))
    assert scores(suite, "x")[0].value == pytest.approx(1.0)


def test_a_suite_of_files_needs_neither_profiles_nor_columns(cli, suite: Path) -> None:
    lines = (
        "suite: tiny", "defaults:", f"  data: {{use: coco, params: {{root: {suite / 'data'}}}}}",
        "  meters: [coco_ap]", "detectors:", "  rival: {detections: found.json}",
    )  # fmt: skip
    (suite / "m.yaml").write_text("\n".join(lines))
    out = call(cli)
    assert re.search(r"detector +AP +AP-small", out)
    assert re.search(r"\nrival +100\.0", out)
    (suite / "m.yaml").write_text("\n".join((lines[0], *lines[4:])))
    assert "m.yaml:1: 'data', 'meters' are missing" in call(cli, fails=2)


def test_settings_of_all_detectors_leave_it_alone(cli, suite: Path) -> None:
    call(cli, "--only", "rival", "--set", "detectors.*.train.steps=1")
    assert scores(suite, "rival")


def test_images_that_are_left_out_are_left_out_of_it(cli, suite: Path) -> None:
    call(cli, "--only", "rival", "--set", "evaluate.max_images=2")
    [record] = scores(suite, "rival")
    assert record.conditions["images"] == 2
    found = json.loads((suite / "found.json").read_text())
    kept = [one for one in found if one["file_name"] in ("1.jpg", "2.jpg")]
    (suite / "found.json").write_text(json.dumps(kept))
    out = call(cli, "--only", "rival", "--set", "evaluate.max_images=2", "--resume")
    assert "has no detections in" not in out, "it is whole as far as it is looked at"


@pytest.mark.parametrize(
    ("entry", "content", "complaint"),
    [
        ("{detections: found.json}", None, "m.yaml:14 detectors.rival.detections: 'found.json'"),
        ("{detections: found.json}", "{}", "found.json: holds an object, not a list"),
        ("{detections: found.json}", '[{"image_id": "x.jpg", "category_id": 3, '
         '"bbox": [1, 2, 3, 4], "score": 1}]', "found.json[0]: unknown image_id 'x.jpg'"),
        ("{detections: found.json, train: {steps: 3}}", "[]", "'detections' takes no other keys"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_trained(
    cli, suite: Path, entry: str, content: str | None, complaint: str
) -> None:
    write_manifest(suite / "m.yaml", suite / "data", [tiny(), f"  rival: {entry}"])
    (suite / "found.json").unlink()
    if content is not None:
        (suite / "found.json").write_text(content)
    out = call(cli, fails=2)
    assert complaint in out
    assert "[1/" not in out


def test_it_is_planned_but_costs_nothing(cli, suite: Path) -> None:
    done = cli("plan", "m.yaml", "--cost")
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert [line[2] for line in lines if line[:2] == ["rival", "0"]] == ["evaluate"]
    assert ["detections", "found.json"] in lines
