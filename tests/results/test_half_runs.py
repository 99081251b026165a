"""Half a run folder says in one clear line each what it lacks; what is there is shown."""

import json
from pathlib import Path

import numpy as np
import pytest
from making_folders import write_scored_run
from making_sides import counted, write_measured

from harness.errors import UserError
from harness.records import layout
from harness.results.comparison import compare_sides
from harness.results.run import Run
from harness.results.run_folder import read_run
from harness.results.sides import read_side, read_sides

CELL = ("a", 0)


def change_records(folder: Path, old: str, new: str) -> None:
    """In the files of all cells."""
    for path in layout.records_files(folder):
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_scored_run(tmp_path / "run", {CELL: 0.3, ("b", 0): 0.95})


def edit_plan(folder: Path, **changes: object) -> None:
    path = folder / layout.PLAN
    kept = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in kept.items() if value is not None}))


def refused(folder: Path) -> str:
    """The one line."""
    with pytest.raises(UserError) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def only_note(run: Run) -> str:
    (note,) = run.notes
    assert "\n" not in note
    return note


def test_a_whole_run_has_nothing_to_note(folder: Path) -> None:
    run = read_run(folder)
    assert run.notes == ()
    assert run.estimate("a", "ap").has_interval
    assert run.difference("a", "b", "ap").verdict == "better"


def test_records_without_a_plan_are_compared_by_themselves(folder: Path) -> None:
    (folder / layout.PLAN).unlink()
    assert "plan.json: cannot be read: No such file or directory" in refused(folder)
    side = read_side(folder)
    (note,) = side.notes
    said = "there is no plan, which says what was scored: no intervals of scores"
    assert note == f"{folder}: {said}"
    assert side.estimates["a"]["ap"].is_there
    assert not side.estimates["a"]["ap"].has_interval
    (row,) = compare_sides(read_sides([f"{folder}:a", f"{folder}:b"]), ["ap"]).rows
    assert row.differences[0].verdict == "unknown"


def test_a_plan_without_records_is_a_run_that_has_measured_nothing(folder: Path) -> None:
    for path in layout.records_files(folder):
        path.unlink()
    run = read_run(folder)
    assert (run.records, run.analyses, run.notes) == ((), {}, ())
    assert run.detectors == ("a", "b")
    assert not run.has("ap")
    assert run.difference("a", "b", "ap").verdict == "missing"
    assert run.columns == ()
    side = read_side(folder)
    assert side.estimates == {}


def test_a_run_of_harness_0_3_is_refused_in_one_line(folder: Path) -> None:
    edit_plan(folder, format=None)
    assert refused(folder) == (
        f"{folder / layout.PLAN}: was made by harness 0.3 or older (harness 0.3 reads it)"
    )
    with pytest.raises(UserError, match=r"harness 0\.3 reads it"):
        read_sides([str(folder)])


def test_so_is_one_that_was_never_released(folder: Path) -> None:
    edit_plan(folder, format=2)
    assert "was made by a harness between 0.3 and 0.4 (run it again)" in refused(folder)


@pytest.mark.parametrize("format", [4, "3"])
def test_so_is_one_of_a_newer_harness(folder: Path, format: object) -> None:
    edit_plan(folder, format=format)
    assert "was made by a newer harness (update this one)" in refused(folder)


@pytest.mark.parametrize("planned", [True, False])
def test_so_are_records_of_harness_0_3(folder: Path, planned: bool) -> None:
    path = layout.records_file(folder, *CELL, "evaluate", "")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    old = [{**line, "schema": 1, "warnings": ["only 4 images"]} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in old))
    if not planned:
        (folder / layout.PLAN).unlink()
    with pytest.raises(UserError) as caught:
        read_side(folder)
    assert str(caught.value) == (
        f"{path}:1: it was written by harness 0.3 or older (harness 0.3 reads it)"
    )


@pytest.mark.parametrize("metrics", [None, [], {}, {"specs": [{"name": "AP"}], "messages": {}}])
def test_a_plan_whose_metrics_cannot_be_read_is_refused(folder: Path, metrics: object) -> None:
    edit_plan(folder, metrics=metrics)
    assert f"{folder / layout.PLAN}: has no usable 'metrics'" in refused(folder)


def test_detections_of_other_images_are_a_note(folder: Path) -> None:
    path = layout.cell_folder(folder, *CELL) / layout.DETECTIONS
    found = json.loads(path.read_text())
    path.write_text(json.dumps([{**one, "image_id": one["image_id"] + 1000} for one in found]))
    run = read_run(folder)
    note = only_note(run)
    assert note.startswith("a seed 0: no intervals: ")
    assert "detections.json" in note
    assert "image" in note
    assert set(run.analyses) == {("b", 0)}
    assert run.estimate("a", "ap").is_there
    assert run.difference("a", "b", "ap").verdict == "unknown"


def test_lost_detections_are_a_note(folder: Path) -> None:
    (layout.cell_folder(folder, *CELL) / layout.DETECTIONS).unlink()
    run = read_run(folder)
    assert only_note(run) == "a seed 0: no intervals: its detections are not there"
    (reason,) = run.difference("a", "b", "ap").reasons
    assert run.catalog.word(reason) == "the detections of base cannot be read"


def test_lost_annotations_are_a_note_each(folder: Path) -> None:
    (folder / "annotations.json").unlink()
    first, *rest = read_run(folder).notes
    assert first.startswith("the validation data cannot be read: ")
    assert rest == [f"{name} seed 0: no intervals: the ground truth is not there" for name in "ab"]


@pytest.mark.parametrize("name", ["analysis.json", "analysis.npz"])
def test_a_broken_analysis_is_made_again_and_nothing_lost(folder: Path, name: str) -> None:
    first = read_run(folder)
    path = layout.cell_folder(folder, *CELL) / name
    path.write_bytes(path.read_bytes()[:-200])
    again = read_run(folder)
    assert again.notes == ()
    for metric in ("ap", "ap_small", "ar_100"):
        one, two = (run.estimate("a", metric) for run in (first, again))
        assert np.array_equal((one.low, one.high), (two.low, two.high), equal_nan=True)
    assert path.stat().st_size > 200


def test_an_environment_that_is_not_json_is_refused_by_name(folder: Path) -> None:
    path = layout.environment_file(folder, "e")
    path.parent.mkdir()
    path.write_text("{")
    assert f"{path}: is not JSON" in refused(folder)


@pytest.mark.parametrize("planned", [True, False])
def test_a_metric_of_an_impossible_name_is_refused(folder: Path, planned: bool) -> None:
    change_records(folder, '"metric":"ap50"', '"metric":"AP@50"')
    if not planned:
        (folder / layout.PLAN).unlink()
    with pytest.raises(UserError) as caught:
        read_side(folder)
    assert f"{folder}: holds a metric 'AP@50' (a name is lower" in str(caught.value)


def test_a_half_written_last_line_is_left_out(folder: Path) -> None:
    path = layout.records_file(folder, *CELL, "evaluate", "")
    whole = read_run(folder)
    path.write_bytes(path.read_bytes() + b'{"run": "ru')
    assert read_run(folder).records == whole.records


def test_two_runs_of_which_one_lacks_its_plan_are_compared(folder: Path, tmp_path: Path) -> None:
    bare = write_measured(tmp_path / "bare", {"a": [counted(3)]})
    sides = read_sides([str(folder), str(bare)])
    assert [len(side.notes) for side in sides] == [0, 1]
    assert not compare_sides(sides, ["all"]).comparable
