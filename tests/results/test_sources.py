"""What a side may be."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from making_sides import AP_CONDITIONS, LATENCY, analysis, counted, timed, write_records

from harness.errors import UserError
from harness.manifest.schema import Report
from harness.records.frame import load_results
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import RecordStore
from harness.results.ap.types import Estimate
from harness.results.comparison import compare_sides
from harness.results.figures import make_figures
from harness.results.run import with_ranges
from harness.results.sources import read_side, read_sides


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_records(tmp_path / "one", {"a": [timed(10), counted(5)], "b": [timed(12)]})


def test_a_folder_and_its_records_are_the_same(run: Path):
    for path in (run, run / "records.jsonl"):
        read = read_side(path)
        assert read.name == "one"
        assert list(read.figures) == ["a", "b"]
        assert read.figures["a"]["macs_paper"].value == 5
        assert len(read.figures["a"][LATENCY].samples) == 60


def test_other_percentiles_get_the_samples_of_the_median(tmp_path: Path):
    p90 = Measurement("latency_end_to_end_p90", 11.0, "ms", False)
    read = read_side(write_records(tmp_path / "one", {"a": [timed(10), p90]}))
    assert len(read.figures["a"]["latency_end_to_end_p90"].samples) == 60


def test_a_csv_has_the_numbers_and_no_samples(run: Path):
    frame = load_results(run)
    frame.to_csv(run / "results.csv", index=False)
    read = read_side(run / "results.csv")
    assert read.figures["a"][LATENCY].value == 10
    assert read.figures["a"][LATENCY].samples == ()
    assert read.figures["a"][LATENCY].conditions == {"device": "cpu"}
    assert read.figures["a"][LATENCY].higher_is_better is False
    assert "noise is unknown" in read.notes[0]


def test_a_short_table_will_do_and_a_table_without_values_will_not(tmp_path: Path):
    table = tmp_path / "table.csv"
    table.write_text("detector,seed,metric,value\nNA,0,ap,0.2\nNA,1,ap,0.4\nNA,1,ap50,\n")
    read = read_side(table)
    assert read.figures["NA"]["ap"].seeds == (0.2, 0.4)
    assert read.figures["NA"]["ap"].higher_is_better is True
    assert "conditions" in read.notes[1]
    table.write_text("detector,metric\na,ap\n")
    with pytest.raises(UserError, match="has no column 'value'"):
        read_side(table)
    table.write_text("detector,metric,value\na,ap,good\n")
    with pytest.raises(UserError, match=r"table\.csv:2: has 'good' for a value"):
        read_side(table)


@pytest.mark.parametrize("name", ["quick.csv", "bccd.csv", "coco80.csv"])
def test_the_committed_tables_can_be_read(name: str):
    read = read_side(Path(__file__).parents[2] / "results" / name)
    assert read.figures["tinydet_s"]["ap"].unit == "AP"


def test_a_detector_is_picked_by_a_colon(run: Path):
    sides = read_sides([f"{run}:a", f"{run}:b"])
    assert [s.name for s in sides] == ["a", "b"]
    (row,) = compare_sides(sides, ["latency"]).rows
    assert row.detector == ""
    assert row.values == (10, 12)
    with pytest.raises(UserError, match="has no detector 'c'"):
        read_sides([f"{run}:c"])
    with pytest.raises(UserError, match="which of its detectors"):
        read_sides([str(run), f"{run}:a"])


def modes_of(median: float, fused: float) -> list[Measurement]:
    """A detector timed in two modes, of which tables show the first."""
    agreement = Measurement("mode_agreement", 1.0, "", True, scope="mode/fused")
    return [timed(median), replace(timed(fused, mode="fused"), scope="mode/fused"), agreement]


def test_a_further_mode_is_compared_under_its_own_name(tmp_path: Path):
    runs = [
        write_records(tmp_path / name, {"a": modes_of(10, fused)})
        for name, fused in (("before", 8), ("after", 4))
    ]
    rows = compare_sides(read_sides([*map(str, runs)]), ["all"]).rows
    assert [(row.detector, row.metric, row.values) for row in rows] == [
        ("a", LATENCY, (10, 10)),
        ("a@fused", LATENCY, (8, 4)),
    ]
    assert rows[1].changes[0].verdict == "better"
    load_results(runs[0]).to_csv(tmp_path / "results.csv", index=False)
    assert read_side(tmp_path / "results.csv").figures["a@fused"][LATENCY].value == 8


def test_a_run_of_one_detector_in_several_modes_is_one_side(tmp_path: Path):
    run = write_records(tmp_path / "one", {"a": modes_of(10, 8)})
    sides = read_sides([str(run), f"{run}:a@fused"])
    assert [side.picked for side in sides] == ["a", "a@fused"]
    (row,) = compare_sides(sides, ["latency"]).rows
    assert row.changes[0].verdict == "refused"
    assert "mode: not recorded against fused" in map(str, row.changes[0].mismatches)


def test_a_file_with_a_colon_is_a_file(tmp_path: Path):
    table = tmp_path / "a:b.csv"
    table.write_text("detector,metric,value\nd,ap,0.5\n")
    (read,) = read_sides([str(table)])
    assert list(read.figures) == ["d"]


def test_runs_of_one_name_get_different_ones(tmp_path: Path):
    paths = [write_records(tmp_path / s / "run", {"a": [counted(1)]}) for s in ("x", "y")]
    assert [s.name for s in read_sides([*map(str, paths)])] == ["x/run", "y/run"]
    assert [s.name for s in read_sides([str(paths[0])] * 2)] == ["run", "run (2)"]


def test_what_is_no_side_is_the_users_mistake(run: Path, tmp_path: Path):
    with pytest.raises(UserError, match="does not exist"):
        read_side(tmp_path / "none")
    with pytest.raises(UserError, match="in it are the runs one"):
        read_side(tmp_path)
    (tmp_path / "x.txt").write_text("something")
    with pytest.raises(UserError, match="give a run folder"):
        read_side(tmp_path / "x.txt")
    (tmp_path / "x.json").write_text(json.dumps({"some": "thing"}))
    with pytest.raises(UserError, match="not a pytest-benchmark file"):
        read_side(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        read_side(tmp_path / "x.json")


def write_seeds(folder: Path, measured: dict[int, Measurement], weights: str = "w") -> Path:
    """A run folder of one detector "a" with a measurement under each seed."""
    lines = []
    for seed, measurement in measured.items():
        cell = {
            "run": folder.name,
            "detector": "a",
            "seed": seed,
            "stage": "evaluate",
            "fingerprint": "f",
            "time": 1e9,
            "environment": "e",
            "weights": weights,
        }
        lines += [Record.of(measurement, **cell), Record(kind="cell", **cell)]
    folder.mkdir()
    RecordStore(folder / "records.jsonl").append(lines)
    return folder


def test_numbers_are_judged_by_their_records(tmp_path: Path):
    plenty, few = {"images": 500, "boxes": 900}, {"images": 500, "boxes": 3}
    ap, scarce = (Measurement("ap", 0.4, "AP", True, conditions=c) for c in (plenty, few))

    def judged(name: str, *seeds: Measurement, weights: str = "w") -> tuple[str, tuple[str, ...]]:
        read = read_side(write_seeds(tmp_path / name, dict(enumerate(seeds)), weights))
        figure = read.figures["a"]["ap"]
        return figure.level, figure.doubts

    assert judged("good", ap, ap) == ("valid", ())
    assert judged("few", ap, scarce) == ("doubtful", ("it rests on only 3 objects",))
    level, doubts = judged("random", scarce, scarce, weights="")
    assert level == "invalid"
    assert doubts[0].startswith("the weights are random")
    none = Measurement("ap", math.nan, "AP", True, conditions=plenty)
    assert judged("gap", ap, none) == ("doubtful", ("seed 1 has no number",))
    assert judged("none", none)[0] == "invalid"


def test_a_size_range_of_the_manifest_is_judged_by_its_own_objects():
    conditions = {**AP_CONDITIONS, "images": 500, "boxes": 900}
    cell = {"run": "r", "detector": "a", "seed": 0, "stage": "evaluate", "fingerprint": "f"}
    common = {**cell, "time": 1e9, "environment": "e", "weights": "w"}
    record = Record.of(Measurement("ap", 0.4, "AP", True, conditions=conditions), **common)
    done = Record(kind="cell", status="ok", **common)
    found = analysis(0.4, 0.01)
    metrics = {**found.metrics, "ap_tiny": Estimate(0.1, 0.0, 0.2, 4, 3)}
    analysed = replace(found, metrics=metrics)
    ranges = Report(area_ranges={"tiny": (0, 200)})
    records = with_ranges([record, done], {("a", 0): analysed}, ranges)
    figures = make_figures([r for r in records if r.kind == "measurement"], (analysed,))
    assert figures["ap"].level == "valid"
    assert figures["ap_tiny"].value == 0.1
    assert figures["ap_tiny"].doubts == (
        "it rests on only 4 objects",
        "its objects stand in only 3 images",
    )


def test_a_run_has_the_analyses_of_its_detections(finished: Path):
    read = read_side(finished / "results" / "tiny" / "done")
    assert len(read.figures["tiny"]["ap"].analyses) == 1
    assert read.figures["tiny"]["parameters"].analyses == ()
    assert read.columns == ("ap", "parameters", LATENCY)
    assert read.time > 1.7e9


def test_a_run_against_itself_shows_no_difference(finished: Path):
    folder = str(finished / "results" / "tiny" / "done")
    found = compare_sides(read_sides([folder, folder]), ["all"])
    assert len(found.rows) > 5
    assert not any(change.real for row in found.rows for change in row.changes)
    assert not any(row.best for row in found.rows)


def test_a_spread_has_no_samples(tmp_path: Path):
    spread = Measurement("latency_end_to_end_spread", 0.1, "ms", False)
    read = read_side(write_records(tmp_path / "one", {"a": [timed(10), spread]}))
    assert read.figures["a"]["latency_end_to_end_spread"].samples == ()


@pytest.mark.parametrize("metric", ["ap", "ap50", "ar_100"])
def test_an_ap_without_a_unit_is_one_and_no_percent(tmp_path: Path, metric: str):
    table = tmp_path / "table.csv"
    table.write_text(f"detector,metric,value\na,{metric},0.5\na,{metric},\nb,macs_paper,9\n")
    read = read_side(table)
    assert read.figures["a"][metric].unit == "AP"
    assert read.figures["b"]["macs_paper"].unit == ""
    for unit in ("", "AP"):
        table.write_text(f"detector,metric,value,unit\na,{metric},50,{unit}\n")
        with pytest.raises(UserError, match=r"table\.csv:2: .* lies outside 0 to 1"):
            read_side(table)


def test_the_seconds_of_stages_are_no_figure(tmp_path: Path):
    seconds = Measurement("cell_seconds", 3.0, "s", False)
    folder = write_records(tmp_path / "one", {"a": [counted(5), seconds]})
    load_results(folder).to_csv(folder / "results.csv", index=False)
    for path in (folder, folder / "results.csv"):
        assert list(read_side(path).figures["a"]) == ["macs_paper"]


def test_seeds_measured_otherwise_are_noticed(tmp_path: Path):
    seeds = {0: timed(10), 1: timed(10, device="cuda"), 2: timed(10)}
    folder = write_seeds(tmp_path / "run", seeds)
    load_results(folder).to_csv(folder / "results.csv", index=False)
    for path in (folder, folder / "results.csv"):
        assert [str(m) for m in read_side(path).figures["a"][LATENCY].mixed] == [
            "device: cpu against cuda"
        ]
    alike = write_seeds(tmp_path / "alike", {0: timed(10), 1: timed(10, load_average=3)})
    assert read_side(alike).figures["a"][LATENCY].mixed == ()
