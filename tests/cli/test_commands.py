"""The other commands, on what a run left behind and on nothing."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer
import yaml
from PIL import Image
from tiny_suite import PLUGIN, make_coco, write_manifest
from tiny_suite import harness as harness_process

import harness
from harness.cli.app import app
from harness.cli.examples import EXAMPLES

COMMANDS = [
    "run", "plan", "list", "describe", "report", "compare", "history", "export", "data", "score",
    "predict", "doctor", "choose", "ablate", "watch", "cell", "new", "check-plugin", "runs", "note",
    "export-model",
]  # fmt: skip


def test_help_names_every_command_and_the_module_runs_like_the_script(tmp_path: Path):
    done = harness_process("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(f" {name} " in done.stdout for name in COMMANDS)
    assert "..." not in done.stdout.partition("Commands:")[2]


def test_the_version_is_told_and_is_that_of_the_citation(cli):
    told = cli("--version")
    assert (told.code, told.out) == (0, f"harness {harness.__version__}\n")
    cited = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text())
    assert cited["version"] == harness.__version__
    assert set(dir(harness)) == {"__version__", "build", "hookimpl", "load_results", "open_run"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run"], "issing argument 'SUITE.yaml' (see 'harness run --help')"),
        (["plan", "m.yaml", "--nope"], "o such option: --nope"),
        (["frobnicate"], "o such command 'frobnicate'"),
        (["predict", "a.jpg"], "issing option"),
        (["plan", "none.yaml"], "none.yaml: no such file"),
        (["list", "bakcbone"], "there is no kind 'bakcbone' (did you mean 'backbone'?"),
        (["describe", "tiny_fnp"], "nothing is called 'tiny_fnp' (did you mean 'tiny_fpn'?"),
        (["score", "none.json", "--annotations", "none.json"], "none.json"),
        (["list", "-p", "nowhere.py"], "-p nowhere.py: no such file"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(cli, arguments: list[str], expected: str):
    done = cli(*arguments)
    assert expected in done.mistake
    assert done.code == 2
    assert done.out == ""


def test_nothing_asked_for_shows_the_help(cli):
    from harness.cli.app import run

    assert run([]) == 2


def test_list_and_describe(cli):
    listed = cli("list")
    assert listed.code == 0
    for name in ("mobilenetv3_bc", "tiny_fpn", "coco_ap", "synthetic", "psroi_align_max"):
        assert name in listed.out
    for page in ("section\nanswer", "figure\n"):
        assert page in listed.out
    assert "tiny_fpn" not in cli("list", "backbone").out
    described = cli("describe", "tiny_fpn")
    assert "channels: int = 245" in described.out
    assert "by plugin 'tinydet'" in described.out
    assert "slots: backbone, neck, dense_head\n" in cli("describe", "one_stage").out
    whole = cli("describe", "ssdlite320_mobilenet_v3_large").out
    assert "may be given: input\n" in whole


def test_metrics_are_listed_with_what_they_are_and_who_writes_them(cli):
    rows = cli("list", "metric").out.splitlines()
    told = {row.split()[0]: row for row in rows if row.strip()}
    assert "AP (%), score, higher is better, ranks detectors as score · meter coco_ap" in told["ap"]
    assert (
        "(ms), time, lower is better, ranks detectors as cost, short: latency"
        in (told["latency_end_to_end_p50"])
    )
    assert told["train_loss"].rstrip().endswith("· the stages")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lists_and_plans_fit_their_terminal_whole(cli, monkeypatch, tmp_path, data, width: int):
    write_manifest(tmp_path / "m.yaml", data)
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in (["list"], ["list", "metric"], ["plan", "m.yaml"]):
        done = cli(*arguments)
        assert done.code == 0, done.err
        assert "…" not in done.out
        assert max(len(line.rstrip()) for line in done.out.splitlines()) <= width
        lines = [line.split() for line in done.out.splitlines()]
        assert any("coco_ap" in words for words in lines)
    fingerprints = [
        c["fingerprint"] for c in json.loads(cli("plan", "m.yaml", "--json").out)["cells"]
    ]
    words = set(cli("plan", "m.yaml").out.split())
    assert set(fingerprints) <= words  # each in one piece
    assert {"tiny", "evaluate", "latency"} <= words


def test_cells_that_differ_in_seed_and_mode_are_one_row(cli, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data)
    options = ["--stages", "train,latency", "--seeds", "0,3", "--modes", "eager,fused"]
    lines = [line.split() for line in cli("plan", "m.yaml", *options).out.splitlines()]
    [train] = [words for words in lines if words[:1] == ["tiny"] and "train" in words]
    [latency] = [words for words in lines if words[:1] == ["tiny"] and "latency" in words]
    assert train[1:4] == ["0,", "3", "train"]
    assert train[-2:] == ["2", "cells"]
    assert latency[1:6] == ["0,", "3", "latency", "eager,", "fused"]
    assert latency[-2:] == ["4", "cells"]


def test_text_of_plugins_is_no_markup(cli, tmp_path: Path):
    (tmp_path / "odd.py").write_text(
        "from harness.plugin.declarations import Dataset, NoParams\n"
        "from harness.plugin.hookspecs import hookimpl\n"
        "@hookimpl\n"
        "def harness_datasets():\n"
        "    return [Dataset('odd', 'odd:nothing', NoParams, 'a [red]list[/red] [of x]')]\n"
    )
    for arguments in (["list", "dataset"], ["describe", "odd"]):
        assert "a [red]list[/red] [of x]" in cli(*arguments, "-p", "odd.py").out


def test_a_broken_plugin_is_named_once_and_harms_nobody(cli, tmp_path: Path):
    (tmp_path / "broken_plugin.py").write_text("1 / 0")
    done = cli("list", "-p", "broken_plugin.py")
    assert done.code == 0
    assert done.mistake == (
        "plugin 'broken_plugin.py' failed to load: ZeroDivisionError: division by zero"
    )


def test_plan_shows_cells_and_json(cli, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data)
    shown = cli("plan", "m.yaml")
    assert shown.code == 0
    for word in ("tiny", "train", "evaluate", "cost", "latency", "channels=8", "2 steps"):
        assert word in shown.out
    plain = json.loads(cli("plan", "m.yaml", "--json", "--stages", "cost").out)
    assert [c["stage"] for c in plain["cells"]] == ["cost"]
    assert plain["detectors"]["tiny"]["parts"]["detector"]["params"]["channels"] == 8
    assert not (tmp_path / "results").exists()


def test_plan_with_cost_counts_parameters(cli, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data)
    meters = "meters=[coco_ap, parameters, macs_paper, latency]"
    done = cli("plan", "m.yaml", "--cost", "--set", meters)
    assert done.code == 0
    assert "parameters" in done.out
    assert "backbone" in done.out


def test_ground_truth_scores_one(cli, tmp_path: Path, data: Path):
    annotations = data / "annotations" / "instances_val.json"
    document = json.loads(annotations.read_text())
    found = [{**a, "score": 1.0} for a in document["annotations"]]
    (tmp_path / "d.json").write_text(json.dumps(found))
    done = cli("score", "d.json", "--annotations", annotations, "--per-class", "--csv", "s.csv")
    assert done.code == 0, done.err
    rows = [line.split(",") for line in (tmp_path / "s.csv").read_text().splitlines()]
    values = {(row[0], row[1]): float(row[2] or "nan") for row in rows[1:]}
    assert values["ap", ""] == values["ap_small", ""] == 1.0
    assert values["ap", "class/bar"] == 1.0


def test_files_are_scored_on_the_folder_of_a_data_set_as_well(cli, tmp_path: Path, data: Path):
    """Ultralytics' labels and predictions: classes from 0 in these, from 1 in those."""
    document = json.loads((data / "annotations" / "instances_val.json").read_text())
    categories = [entry["id"] for entry in document["categories"]]
    names = {entry["id"]: Path(entry["file_name"]).stem for entry in document["images"]}
    found = [
        {
            "image_id": names[one["image_id"]],
            "category_id": categories.index(one["category_id"]) + 1,
            "bbox": one["bbox"],
            "score": 1.0,
        }
        for one in document["annotations"]
    ]
    (tmp_path / "p.json").write_text(json.dumps(found))
    yolo = tmp_path / "yolo"
    shutil.copytree(data / "val", yolo / "valid" / "images")
    (yolo / "valid" / "labels").mkdir()
    for image, name in names.items():
        lines = [
            f"{categories.index(one['category_id'])} {(x + w / 2) / 64} {(y + h / 2) / 48} "
            f"{w / 64} {h / 48}"
            for one in document["annotations"]
            if one["image_id"] == image
            for x, y, w, h in [one["bbox"]]
        ]
        (yolo / "valid" / "labels" / f"{name}.txt").write_text("\n".join(lines))
    (yolo / "data.yaml").write_text("val: valid/images\nnames: [square, bar]\n")
    for given in ("yolo", "yolo/data.yaml"):
        done = cli("score", "p.json", "--annotations", given, "--csv", f"{len(given)}.csv")
        assert done.code == 0, done.err
        assert "numbers: every category_id of p.json is taken as one less: of 8 " in " ".join(
            done.out.split()
        )
        first = (tmp_path / f"{len(given)}.csv").read_text().splitlines()[1]
        assert first.startswith("ap,,1.0,")
    done = cli("score", "p.json", "p.json", "--annotations", data, "--per-class")
    assert done.mistake == "--per-class: takes a single file"
    above = cli("score", "p.json", "--annotations", data / "train").mistake
    assert f"but {data} is a data set of several splits" in above
    nowhere = cli("score", "p.json", "--annotations", "no.json").mistake
    assert nowhere.startswith("no.json: does not exist (needs a COCO-format file")


def test_choose_says_why_nothing_fits(cli, copied: Path):
    done = cli("choose", copied, "--at-most", "params=1")
    assert done.code == 4
    assert done.out == "nothing fits: tiny has no usable score\n"
    assert (
        "--at-most latency: is not of the form"
        in cli("choose", copied, "--at-most", "latency").mistake
    )


def test_several_files_are_compared_with_the_first(cli, tmp_path: Path):
    annotations = make_coco(tmp_path / "many", 12) / "annotations" / "instances_val.json"
    document = json.loads(annotations.read_text())
    found = [{**a, "score": 1.0} for a in document["annotations"]]
    for name, kept in (("good", found), ("bad", []), ("more/good", found[:1])):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.json").write_text(json.dumps(kept))
    files = ["good.json", "bad.json", "more/good.json"]
    assert (
        "good.json: is named twice"
        in cli("score", "good.json", "good.json", "--annotations", annotations).mistake
    )
    done = cli("score", *files, "--annotations", annotations, "--csv", "s.csv")
    assert done.code == 0, done.err
    assert re.search(r"AP %.*good +100\.0", done.out), done.out
    assert re.search(r"\bbad +0\.0", done.out)
    assert re.search(r"more/good +[0-9.]+", done.out)
    assert "paired bootstrap" in done.out
    table = pd.read_csv(tmp_path / "s.csv")
    ap = table[(table["metric"] == "ap") & table["scope"].isna()].set_index("detections")
    assert list(ap["value"][["bad"]]) == [0.0]
    assert ap["low"]["more/good"] <= ap["value"]["more/good"] <= ap["high"]["more/good"]
    low, high = (f"{100 * ap[end]['more/good']:.1f}" for end in ("low", "high"))
    assert re.search(rf"more/good +[0-9.]+[*!]* +\[{low}, {high}\]", done.out.replace("\xa0", " "))


def test_the_table_of_a_file_has_value_and_interval_in_percent(cli, tmp_path: Path):
    annotations = make_coco(tmp_path / "many", 12) / "annotations" / "instances_val.json"
    document = json.loads(annotations.read_text())
    found = [{**a, "score": 1.0} for a in document["annotations"]][:15]
    (tmp_path / "some.json").write_text(json.dumps(found))
    done = cli("score", "some.json", "--annotations", annotations, "--csv", "s.csv")
    row = pd.read_csv(tmp_path / "s.csv").set_index("metric").loc["ap"]
    row = row[row["scope"].isna()].iloc[0] if isinstance(row, pd.DataFrame) else row
    [shown] = re.findall(r"│ AP +│ +│ +([\d.]+)!? +│ +\[([\d.]+),\s([\d.]+)\] │ % │", done.out)
    given = [100 * row[name] for name in ("value", "low", "high")]
    assert [float(one) for one in shown] == pytest.approx(given, abs=0.005)
    assert given[1] < given[0] < given[2]


def test_doubts_about_files_stand_beside_their_numbers(cli, tmp_path: Path):
    """One file in half of the images, one with classes exchanged, one with classes one off."""
    annotations = make_coco(tmp_path / "many", 12) / "annotations" / "instances_val.json"
    objects = json.loads(annotations.read_text())["annotations"]
    files = {
        "half": [one for one in objects if one["image_id"] % 2],
        "other": [{**one, "category_id": 10 - one["category_id"]} for one in objects],
        "off": [{**one, "category_id": one["category_id"] + 1} for one in objects],
    }
    for name, found in files.items():
        whole = json.dumps([{**one, "score": 1.0} for one in found])
        (tmp_path / f"{name}.json").write_text(whole)
    alone = cli("score", "half.json", "--annotations", annotations)
    doubt = "half.json has no detections in 6 of 12 images with objects: is it whole?"
    assert f"! all numbers: {doubt}" in " ".join(alone.out.split())
    assert re.search(r"AP  .* [0-9.]+! ", alone.out)
    several = cli("score", "off.json", "half.json", "other.json", "--annotations", annotations)
    out = " ".join(several.out.split())
    assert f"! {doubt} (half)" in out
    assert "! of 24 objects that other.json takes for 3 square, 7 bar, only 0 are: are its" in out
    assert "every category_id of off.json is taken as one less: of 24 boxes 24 then" in out
    assert "other: it finds next to nothing: AP 0.0 %; never the best of a row" in out


def test_a_file_of_detections_stands_beside_a_run(cli, copied: Path, tmp_path: Path):
    places = json.loads((copied / "plan.json").read_text())["splits"]["val"]
    document = json.loads(Path(places["annotations"]).read_text())
    found = [{**a, "score": 1.0} for a in document["annotations"]]
    (tmp_path / "yolo.json").write_text(json.dumps(found))
    done = cli("compare", f"{copied}:tiny", "yolo.json", "--csv", "c.csv")
    assert done.code == 0, done.err
    table = pd.read_csv(tmp_path / "c.csv").set_index("metric")
    assert table["other"]["ap"] == "yolo"
    assert table["other_value"]["ap"] == 1.0
    assert table["difference"]["ap"] == 1.0
    assert "no such number" not in done.out
    again = cli("compare", "yolo.json", f"{copied}:tiny", "--metrics", "ap", "--csv", "c.csv")
    assert again.code == 0, again.err
    turned = pd.read_csv(tmp_path / "c.csv").set_index("metric")
    assert turned["difference"]["ap"] == -table["difference"]["ap"]


def test_files_of_detections_alone_are_not_compared(cli, tmp_path: Path):
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "b.json").write_text("[]")
    assert (
        "harness score FILE FILE --annotations FILE" in cli("compare", "a.json", "b.json").mistake
    )


def test_a_file_of_other_images_is_not_compared_with_a_run(cli, copied: Path, tmp_path: Path):
    wrong = [{"image_id": 999, "category_id": 3, "bbox": [0, 0, 1, 1], "score": 1}]
    (tmp_path / "a.json").write_text(json.dumps(wrong))
    assert "unknown image_id 999" in cli("compare", copied, "a.json").mistake


@pytest.mark.parametrize("text", ["", "{", "[3]", '[{"image_id": 1}]', '{"a": 1}'])
def test_detections_that_are_none(cli, tmp_path: Path, data: Path, text: str):
    (tmp_path / "d.json").write_text(text)
    done = cli("score", "d.json", "--annotations", data / "annotations" / "instances_val.json")
    assert "d.json" in done.mistake
    assert done.code == 2


def test_predict_draws_and_writes_coco_json(cli, copied: Path, tmp_path: Path, data: Path):
    checkpoint = copied / "cells" / "tiny" / "seed0" / "checkpoint.pt"
    done = cli(
        "predict", data / "val", "--checkpoint", checkpoint, "--out", "drawn", "--threshold", 0
    )
    assert done.code == 0, done.err
    *lines, last = done.out.splitlines()
    for number, line in enumerate(lines, 1):
        assert re.fullmatch(rf"{number}\.jpg: \d+ (square|bar)(, \d+ (square|bar))?, \d+ ms", line)
    assert len(lines) == 4
    assert last == "4 images drawn in drawn, detections in drawn/detections.json"
    images = json.loads((tmp_path / "drawn" / "images.json").read_text())
    assert [c["id"] for c in images["categories"]] == [3, 7]
    assert len(images["images"]) == 4
    found = json.loads((tmp_path / "drawn" / "detections.json").read_text())
    assert {d["image_id"] for d in found} == {1, 2, 3, 4}
    assert {d["category_id"] for d in found} <= {3, 7}
    assert cli("score", "drawn/detections.json", "--annotations", "drawn/images.json").code == 0
    drawn = sorted((tmp_path / "drawn").glob("*.jpg"))
    assert len(drawn) == 4
    with Image.open(drawn[0]) as image:
        assert image.size == (64, 48)


def test_predictions_score_as_the_run_did(cli, copied: Path, tmp_path: Path, data: Path):
    """The detections of the run, scored again, give the run's AP."""
    from harness import load_results

    cell = copied / "cells" / "tiny" / "seed0"
    annotations = data / "annotations" / "instances_val.json"
    assert (
        cli("score", cell / "detections.json", "--annotations", annotations, "--csv", "s.csv").code
        == 0
    )
    rows = [line.split(",") for line in (tmp_path / "s.csv").read_text().splitlines()[1:]]
    scored = {row[0]: float(row[2] or "nan") for row in rows if row[1] == ""}
    frame = load_results(copied)
    whole = frame[(frame["stage"] == "evaluate") & (frame["scope"] == "")].set_index("metric")[
        "value"
    ]
    assert scored["ap"] == whole["ap"]


def test_a_plugins_section_is_on_the_page_that_report_writes(cli, copied: Path, tmp_path: Path):
    (tmp_path / "my_section.py").write_text(
        "from harness.plugin.declarations import Section\n"
        "from harness.plugin.hookspecs import hookimpl\n"
        "@hookimpl\n"
        "def harness_sections():\n"
        "    return [Section('mine', 'my_section:build', title='My own')]\n"
        "def build(run):\n"
        "    return f'made of {run.run_id}'\n"
    )
    assert cli("report", copied).code == 0
    assert "made of done" not in (copied / "report.html").read_text()
    done = cli("report", copied, "-p", "my_section.py")
    assert done.code == 0, done.err
    assert "<p>made of done</p>" in (copied / "report.html").read_text()


@pytest.mark.parametrize(
    ("image", "checkpoint", "expected"),
    [
        ("none.jpg", None, "none.jpg: no such image"),
        ("text.jpg", None, "text.jpg"),
        ("empty", None, "empty: contains no images"),
        ("good.jpg", "none.pt", "none.pt: no such checkpoint"),
        ("good.jpg", "text.jpg", "text.jpg: is not a checkpoint"),
    ],
)
def test_predict_on_what_cannot_be(cli, copied, tmp_path, data, image, checkpoint, expected):
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.jpg").write_bytes((data / "val" / "1.jpg").read_bytes())
    weights = checkpoint or copied / "cells" / "tiny" / "seed0" / "checkpoint.pt"
    done = cli("predict", image, "--checkpoint", weights, "--out", "drawn")
    assert expected in done.mistake
    assert done.code == 2


def test_doctor_tells_good_data_from_bad(cli, tmp_path: Path, data: Path):
    good = cli("doctor", "--data", data, "--thorough")
    assert good.code == 0
    assert "torch" in good.out
    assert "ops on CPU" in good.out
    assert "ok   verdict trainable and evaluable" in good.out
    bad = make_coco(tmp_path / "coco", edit=lambda d: d["images"][0].update(file_name="no.jpg"))
    done = cli("doctor", "--data", bad)
    assert done.code == 2
    assert "no.jpg is missing" in done.out
    last = done.out.splitlines()[-1]
    assert last.startswith("bad  verdict trainable, but not evaluable. To do: add the files")


def test_doctor_counts_what_it_does_not_show(cli, tmp_path: Path):
    def rename(document: dict) -> None:
        for number, image in enumerate(document["images"]):
            image["file_name"] = f"no{number}.jpg"

    bad = make_coco(tmp_path / "coco", images=8, edit=rename)
    lines = [line.strip() for line in cli("doctor", "--data", bad).out.splitlines()]
    [head] = [n for n, line in enumerate(lines) if "missing image files: 8" in line]
    shown = [f"no{number}.jpg is missing" for number in range(5)]
    assert lines[head + 1 : head + 7] == [*shown, "and 3 more"]


@pytest.mark.slow
def test_what_is_no_mistake_of_the_user_keeps_its_traceback(tmp_path: Path):
    """A part whose target is not there is its author's bug, and says where."""
    (tmp_path / "hollow.py").write_text(
        "from harness.plugin.declarations import Dataset, NoParams\n"
        "from harness.plugin.hookspecs import hookimpl\n"
        "@hookimpl\n"
        "def harness_datasets():\n"
        "    return [Dataset('hollow', 'hollow:nothing', NoParams, 's')]\n"
    )
    write_manifest(tmp_path / "m.yaml", tmp_path)
    done = harness_process(
        "plan", "m.yaml", "-p", "hollow.py", "-p", PLUGIN, "--set", "data=hollow", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "has no attribute 'nothing'" in done.stderr


def test_a_closed_pipe_is_no_crash(tmp_path: Path):
    command = f"{sys.executable} -m harness list | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_help_are_command_lines(cli, name: str):
    """Every option and value in them is understood; files need not be there."""
    command = typer.main.get_command(app).commands[name]
    shown = cli(name, "--help").out
    for line in EXAMPLES[name]:
        assert f"  {line}\n" in shown
        program, given, *arguments = shlex.split(line)
        assert (program, given) == ("harness", name)
        command.make_context(name, arguments)  # raises what it does not understand


def test_every_command_has_examples():
    assert set(COMMANDS) == set(EXAMPLES) == set(typer.main.get_command(app).commands)
