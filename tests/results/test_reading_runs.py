"""A run is read back from its folder: what is kept, made again, or reported as missing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from making_folders import write_run

from harness.errors import UserError
from harness.plugin.metrics import Finding
from harness.records import layout
from harness.records.measurement import Measurement
from harness.results import run_folder as reading
from harness.results.run_folder import read_run


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each analysis that is really made."""
    made: list[object] = []

    def counted(*arguments):
        made.append(arguments)
        return original(*arguments)

    original = reading.analyse_cell
    monkeypatch.setattr(reading, "analyse_cell", counted)
    return made


def forget(copied: Path) -> None:
    for path in [*copied.rglob("analysis.json"), *copied.rglob("analysis.npz")]:
        path.unlink()


def change_plan(copied: Path, **changes: object) -> None:
    path = copied / "plan.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_everything_of_a_run_is_there(copied: Path):
    run = read_run(copied)
    assert run.run_id == "done"
    assert run.detectors == ("tiny",)
    assert run.notes == ()
    assert run.images is not None
    assert len(run.truth.annotations) == 8
    [analysis] = run.analyses_of("tiny")
    assert analysis.metrics["ap"].images == 4
    recorded = [r for r in run.measured if run.spec(r.metric).scoring and not r.scope]
    assert len(recorded) >= 12
    for record in recorded:
        assert analysis.metrics[record.metric].value == pytest.approx(
            record.value, abs=1e-9, nan_ok=True
        )
    assert [line["step"] for line in run.training["tiny", 0]] == [2]
    assert set(run.environments) == {r.environment for r in run.records}


def test_an_analysis_is_made_once(copied: Path, calls: list[object]):
    forget(copied)
    first = read_run(copied)
    second = read_run(copied)
    assert len(calls) == 1
    assert repr(first.analyses) == repr(second.analyses)  # NaN is not equal to itself
    [one], [two] = first.analyses_of("tiny"), second.analyses_of("tiny")
    for name, found in one.metrics.items():
        assert np.array_equal(found.draws, two.metrics[name].draws, equal_nan=True)
    for bins, again in zip(one.curves.values(), two.curves.values(), strict=True):
        for a, b in zip(bins, again, strict=True):
            assert np.array_equal(a.ap50.draws, b.ap50.draws, equal_nan=True)


def test_other_inputs_make_another_analysis(copied: Path, calls: list[object]):
    forget(copied)
    read_run(copied)
    assert read_run(copied, resamples=150).analyses["tiny", 0].metrics["ap"].draws.shape == (150,)
    detections = copied / "cells" / "tiny" / "seed0" / "detections.json"
    detections.write_text(json.dumps(json.loads(detections.read_text())[1:]))
    read_run(copied)
    assert len(calls) == 3


def test_how_many_images_are_shown_changes_no_analysis(copied: Path, calls: list[object]):
    forget(copied)
    read_run(copied)
    report = json.loads((copied / "plan.json").read_text())["report"]
    change_plan(copied, report={**report, "gallery": 3})
    read_run(copied)
    assert len(calls) == 1


BROKEN = ["", "{", "[]", '{"key": 1}', '{"key": "KEY", "analysis": {}}', '{"key": "KEY"}']


@pytest.mark.parametrize("text", [*BROKEN, '{"key": "KEY", "analysis": {"metrics": []}}'])
def test_a_spoilt_kept_analysis_is_made_again(copied: Path, calls: list[object], text: str):
    kept = copied / "cells" / "tiny" / "seed0" / "analysis.json"
    key = json.loads(kept.read_text())["key"]
    kept.write_text(text.replace("KEY", key))
    assert read_run(copied).analyses["tiny", 0].metrics["ap"].images == 4
    assert len(calls) == 1


@pytest.mark.parametrize("spoil", ["gone", "empty", "cut", "other"])
def test_so_is_one_whose_draws_are_broken(copied: Path, calls: list[object], spoil: str):
    draws = copied / "cells" / "tiny" / "seed0" / "analysis.npz"
    whole = draws.read_bytes()
    if spoil == "gone":
        draws.unlink()
    elif spoil == "other":
        np.savez(draws, key=np.array("another"), draws=np.zeros((1, 100)))
    else:
        draws.write_bytes(b"" if spoil == "empty" else whole[: len(whole) // 2])
    run = read_run(copied)
    assert run.analyses["tiny", 0].metrics["ap"].images == 4
    assert len(calls) == 1
    assert run.notes == ()
    assert draws.stat().st_size == len(whole)
    read_run(copied)
    assert len(calls) == 1


def test_a_folder_that_cannot_be_written_is_still_read(
    copied: Path, monkeypatch: pytest.MonkeyPatch
):
    forget(copied)

    def refuse(path: Path, text: str) -> None:
        raise UserError("cannot be written: Read-only file system", where=path)

    monkeypatch.setattr("harness.results.ap.analysis.write_text", refuse)
    run = read_run(copied)
    assert ("tiny", 0) in run.analyses
    [note] = run.notes
    assert "the analysis is not kept: cannot be written: Read-only file system" in note


def test_a_changed_annotation_file_gives_no_intervals(copied: Path, tmp_path: Path):
    moved = tmp_path / "moved"
    shutil.copytree(read_run(copied).images.parent, moved)
    annotations = moved / "annotations" / "instances_val.json"
    annotations.write_text(annotations.read_text() + " ")
    run = read_run(copied, data_root=str(moved))
    assert run.analyses == {}
    assert run.notes == ("tiny seed 0: no intervals: the annotation file has changed since",)
    assert len(run.frame)


def test_moved_data_is_found_where_one_says(copied: Path, tmp_path: Path):
    there = read_run(copied).images.parent
    forget(copied)
    shutil.copytree(there, tmp_path / "moved")
    change_plan(
        copied, splits={"val": {"images": "gone/val", "annotations": "gone/annotations.json"}}
    )
    lost = read_run(copied)
    assert (lost.truth, lost.images, lost.analyses) == (None, None, {})
    assert "gone/annotations.json" in lost.notes[0]
    found = read_run(copied, data_root=str(tmp_path / "moved"))
    assert found.notes == ()
    assert ("tiny", 0) in found.analyses


def test_lost_detections_are_said_to_be_lost(copied: Path):
    (copied / "cells" / "tiny" / "seed0" / "detections.json").unlink()
    run = read_run(copied)
    assert run.analyses == {}
    assert run.notes == ("tiny seed 0: no intervals: its detections are not there",)


def test_a_run_that_has_only_begun(copied: Path):
    for path in layout.records_files(copied):
        path.unlink()
    run = read_run(copied)
    assert (run.records, run.analyses) == ((), {})
    assert len(run.frame) == 0


@pytest.mark.parametrize("content", [None, "{", "[1", "{}", "[]", "3"])
def test_a_folder_without_a_plan_is_no_run(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    with pytest.raises(UserError, match=r"plan\.json"):
        read_run(tmp_path)


def test_settings_of_the_report_are_checked(copied: Path):
    change_plan(copied, report={"resamples": 3})
    with pytest.raises(UserError, match="has no usable 'report'"):
        read_run(copied)


def test_images_left_out_of_the_evaluation_are_left_out_of_the_analysis(cli, copied: Path):
    two = ("--set", "evaluate.max_images=2")
    done = cli("run", "m.yaml", "--resume", "--stages", "evaluate", *two)
    assert done.code == 0
    run = read_run(copied)
    assert run.analyses["tiny", 0].metrics["ap"].images == 2


def test_another_limit_on_detections_has_its_own_intervals(cli, copied: Path):
    meters = "meters=[{use: coco_ap, params: {max_detections: 50}}, parameters, latency]"
    done = cli("run", "m.yaml", "--resume", "--stages", "evaluate", "--set", meters)
    assert done.code == 0
    run = read_run(copied)
    assert run.notes == ()
    found = run.analyses["tiny", 0].metrics
    for metric in ("ap", "ap50", "ar_50"):
        [recorded] = run.records_of("tiny", metric)
        assert found[metric].value == pytest.approx(recorded.value, nan_ok=True)
    assert "ar_100" not in found


def test_area_ranges_of_the_manifest_become_metrics(cli, copied: Path):
    ranges = "report={area_ranges: {tiny: [0, 200]}}"
    columns = "columns=[ap, ap_tiny, parameters]"
    done = cli(
        "run", "m.yaml", "--resume", "--run-id", "done", "--stages", "evaluate",
        "--set", ranges, "--set", columns,
    )  # fmt: skip
    assert done.code == 0
    assert "AP-tiny" in done.out
    run = read_run(copied)
    [row] = [r for r in run.frame.itertuples() if r.metric == "ap_tiny"]
    assert row.value == pytest.approx(run.analyses["tiny", 0].metrics["ap_tiny"].value)
    assert json.loads(row.conditions)["boxes"] == 4
    assert "ap_tiny" in (copied / "results.csv").read_text()
    kept = [path.read_text() for path in layout.records_files(copied)]
    assert sum('"metric":"ap"' in text for text in kept) == 1
    assert not any("ap_tiny" in text for text in kept)


@pytest.mark.parametrize("content", ["[{]", "{}", '[{"image_id": 999}]'])
def test_spoilt_detections_are_their_cells_note(copied: Path, content: str):
    (copied / "cells" / "tiny" / "seed0" / "detections.json").write_text(content)
    run = read_run(copied)
    assert run.analyses == {}
    [note] = run.notes
    assert note.startswith("tiny seed 0: no intervals: ")
    assert "detections.json" in note
    assert len(run.frame)


def test_a_spoilt_training_log_is_a_note(copied: Path):
    (copied / "cells" / "tiny" / "seed0" / "train_log.jsonl").write_text("{\n")
    other = copied / "cells" / "tiny" / "seedling"
    other.mkdir()
    (other / "train_log.jsonl").write_text("{\n")
    run = read_run(copied)
    assert run.training == {}
    [note] = run.notes
    assert note.startswith("tiny seed 0: train_log.jsonl cannot be read")


def test_why_nothing_could_be_measured_is_a_note(tmp_path: Path):
    """Once, and of a metric that no cell has a number of."""
    why = Finding("no_energy_counter", "invalid", {"why": "this system shows no RAPL counters"})
    lacking = Measurement("energy_per_image", np.nan, warnings=(why,))
    there = Measurement("energy_per_image", 5.0)
    run = read_run(write_run(tmp_path / "none", {("a", 0): [lacking], ("b", 0): [lacking]}))
    told = "energy: no counter of it: this system shows no RAPL counters"
    assert run.notes.count(told) == 1
    assert not run.has("energy_per_image")
    some = read_run(write_run(tmp_path / "some", {("a", 0): [lacking], ("b", 0): [there]}))
    assert told not in some.notes
