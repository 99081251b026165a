"""What a side may be."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from making_sides import LATENCY, cell_of, counted, lines_of, timed, write_measured

from harness.errors import UserError
from harness.records import layout
from harness.records.frame import load_results
from harness.records.measurement import Measurement
from harness.records.store import write_records
from harness.results.comparison import compare_sides
from harness.results.run import known_metrics
from harness.results.sides import read_side, read_sides


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_measured(tmp_path / "one", {"a": [timed(10), counted(5)], "b": [timed(12)]})


def test_a_folder_and_a_file_of_its_records_are_the_same(run: Path, tmp_path: Path):
    together = tmp_path / "one.jsonl"
    together.write_text("".join(path.read_text() for path in layout.records_files(run)))
    for path in (run, together):
        read = read_side(path)
        assert read.name == "one"
        assert list(read.estimates) == ["a", "b"]
        assert read.estimates["a"]["macs_paper"].value == 5
        assert len(read.estimates["a"][LATENCY].samples) == 60


def test_the_file_of_a_cell_is_a_side_of_its_own(run: Path):
    read = read_side(layout.records_file(run, "b", 0, "measure", ""))
    assert read.name == "measure"
    assert list(read.estimates) == ["b"]
    assert read.estimates["b"][LATENCY].value == 12
    (note,) = read.notes
    assert "there is no plan" in note


def test_other_percentiles_get_the_samples_of_the_median(tmp_path: Path):
    p90 = Measurement("latency_end_to_end_p90", 11.0)
    read = read_side(write_measured(tmp_path / "one", {"a": [timed(10), p90]}))
    assert len(read.estimates["a"]["latency_end_to_end_p90"].samples) == 60


def test_a_csv_has_the_numbers_and_no_samples(run: Path):
    frame = load_results(run)
    frame.to_csv(run / "results.csv", index=False)
    read = read_side(run / "results.csv")
    assert read.estimates["a"][LATENCY].value == 10
    assert read.estimates["a"][LATENCY].samples == ()
    assert read.estimates["a"][LATENCY].conditions == {"device": "cpu"}
    assert read.estimates["a"][LATENCY].metric.higher_is_better is False
    assert "noise is unknown" in read.notes[0]


def test_a_short_table_will_do_and_a_table_without_values_will_not(tmp_path: Path):
    table = tmp_path / "table.csv"
    table.write_text("detector,seed,metric,value\nNA,0,ap,0.2\nNA,1,ap,0.4\nNA,1,ap50,\n")
    read = read_side(table)
    assert read.estimates["NA"]["ap"].seeds == {0: 0.2, 1: 0.4}
    assert read.estimates["NA"]["ap"].metric.higher_is_better is True
    assert "conditions" in read.notes[1]
    table.write_text("detector,metric\na,ap\n")
    with pytest.raises(UserError, match="has no column 'value'"):
        read_side(table)
    table.write_text("detector,metric,value\na,ap,good\n")
    with pytest.raises(UserError, match=r"table\.csv: cannot be read"):
        read_side(table)


@pytest.mark.parametrize("name", ["quick.csv", "bccd.csv", "coco80.csv"])
def test_the_committed_tables_can_be_read(name: str):
    read = read_side(Path(__file__).parents[2] / "results" / name)
    assert read.estimates["tinydet_s"]["ap"].metric.unit == "AP"


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
    agreement = Measurement("mode_agreement", 1.0, scope="mode/fused")
    return [timed(median), replace(timed(fused, mode="fused"), scope="mode/fused"), agreement]


def test_a_further_mode_is_compared_under_its_own_name(tmp_path: Path):
    runs = [
        write_measured(tmp_path / name, {"a": modes_of(10, fused)})
        for name, fused in (("before", 8), ("after", 4))
    ]
    rows = compare_sides(read_sides([*map(str, runs)]), ["all"]).rows
    assert [(row.detector, row.metric.name, row.values) for row in rows] == [
        ("a", LATENCY, (10, 10)),
        ("a@fused", LATENCY, (8, 4)),
    ]
    assert rows[1].differences[0].verdict == "better"
    load_results(runs[0]).to_csv(tmp_path / "results.csv", index=False)
    assert read_side(tmp_path / "results.csv").estimates["a@fused"][LATENCY].value == 8


def test_a_run_of_one_detector_in_several_modes_is_one_side(tmp_path: Path):
    run = write_measured(tmp_path / "one", {"a": modes_of(10, 8)})
    sides = read_sides([str(run), f"{run}:a@fused"])
    assert [side.picked for side in sides] == ["a", "a@fused"]
    (row,) = compare_sides(sides, ["latency"]).rows
    assert row.differences[0].verdict == "refused"
    assert "mode: not recorded against fused" in map(str, row.differences[0].mismatches)


def test_a_file_with_a_colon_is_a_file(tmp_path: Path):
    table = tmp_path / "a:b.csv"
    table.write_text("detector,metric,value\nd,ap,0.5\n")
    (read,) = read_sides([str(table)])
    assert list(read.estimates) == ["d"]


def test_runs_of_one_name_get_different_ones(tmp_path: Path):
    paths = [write_measured(tmp_path / s / "run", {"a": [counted(1)]}) for s in ("x", "y")]
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
        cell = {**cell_of(folder.name, "a", seed, "evaluate"), "weights": weights}
        lines += lines_of([measurement], **cell)
    folder.mkdir()
    write_records(folder, lines)
    return folder


def test_numbers_are_judged_by_their_records(tmp_path: Path):
    plenty, few = {"images": 500, "boxes": 900}, {"images": 500, "boxes": 3}
    ap, scarce = (Measurement("ap", 0.4, conditions=c) for c in (plenty, few))

    def judged(name: str, *seeds: Measurement, weights: str = "w") -> tuple[str, tuple[str, ...]]:
        read = read_side(write_seeds(tmp_path / name, dict(enumerate(seeds)), weights))
        found = read.estimates["a"]["ap"]
        return found.level, tuple(known_metrics().word(reason) for reason in found.reasons)

    assert judged("good", ap, ap) == ("valid", ())
    assert judged("few", ap, scarce) == ("doubtful", ("objects: only 3",))
    level, doubts = judged("random", scarce, scarce, weights="")
    assert level == "invalid"
    assert doubts[0].startswith("the weights are random")
    none = Measurement("ap", math.nan, conditions=plenty)
    assert judged("gap", ap, none) == ("doubtful", ("seed 1 has no number",))
    assert judged("none", none)[0] == "invalid"


def test_a_run_has_the_analyses_of_its_detections(finished: Path):
    read = read_side(finished / "results" / "tiny" / "done")
    assert len(read.estimates["tiny"]["ap"].sampled) == 1
    assert read.estimates["tiny"]["parameters"].sampled == ()
    assert read.columns == ("ap", "parameters", LATENCY)
    assert read.time > 1.7e9


def test_a_run_against_itself_shows_no_difference(finished: Path):
    folder = str(finished / "results" / "tiny" / "done")
    found = compare_sides(read_sides([folder, folder]), ["all"])
    assert len(found.rows) > 5
    assert not any(change.real for row in found.rows for change in row.differences)
    assert not any(row.best for row in found.rows)


def test_a_spread_has_no_interval_and_no_test(tmp_path: Path):
    spread = "latency_end_to_end_spread"
    paths = [
        str(write_measured(tmp_path / name, {"a": [timed(10), Measurement(spread, value)]}))
        for name, value in (("one", 0.1), ("two", 0.9))
    ]
    sides = read_sides(paths)
    assert not sides[0].estimates["a"][spread].has_interval
    (row,) = compare_sides(sides, [spread]).rows
    assert row.differences[0].verdict == "unknown"
    assert [reason.code for reason in row.differences[0].reasons] == ["no_test"]


@pytest.mark.parametrize("metric", ["ap", "ap50", "ar_100"])
def test_an_ap_without_a_unit_is_one_and_no_percent(tmp_path: Path, metric: str):
    table = tmp_path / "table.csv"
    table.write_text(f"detector,metric,value\na,{metric},0.5\na,{metric},\nb,macs_paper,9\n")
    read = read_side(table)
    assert read.estimates["a"][metric].metric.unit == "AP"
    assert read.estimates["b"]["macs_paper"].metric.unit == "MMACs"
    for unit in ("", "AP"):
        table.write_text(f"detector,metric,value,unit\na,{metric},50,{unit}\n")
        with pytest.raises(UserError, match=r"table\.csv:2: .* is outside 0 to 1"):
            read_side(table)


def test_the_seconds_of_stages_are_not_compared(tmp_path: Path):
    seconds = Measurement("cell_seconds", 3.0)
    folder = write_measured(tmp_path / "one", {"a": [counted(5), seconds]})
    load_results(folder).to_csv(folder / "results.csv", index=False)
    for path in (folder, folder / "results.csv"):
        assert list(read_side(path).estimates["a"]) == ["macs_paper"]


def test_seeds_measured_otherwise_are_noticed(tmp_path: Path):
    seeds = {0: timed(10), 1: timed(10, device="cuda"), 2: timed(10)}
    folder = write_seeds(tmp_path / "run", seeds)
    load_results(folder).to_csv(folder / "results.csv", index=False)
    for path in (folder, folder / "results.csv"):
        assert [str(m) for m in read_side(path).estimates["a"][LATENCY].mixed] == [
            "device: cpu against cuda"
        ]
    alike = write_seeds(tmp_path / "alike", {0: timed(10), 1: timed(10, load_average=3)})
    assert read_side(alike).estimates["a"][LATENCY].mixed == ()


def test_a_tables_metric_of_an_impossible_name_is_the_users_mistake(tmp_path: Path):
    table = tmp_path / "table.csv"
    table.write_text("detector,metric,value\na,ap,0.4\na,mAP@50,0.5\n")
    with pytest.raises(UserError, match=r"table\.csv:3: metric 'mAP@50': a name is lower-case"):
        read_side(table)
