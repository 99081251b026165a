"""Limits that a suite sets on its own numbers: how a run ends by them."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tiny_suite import tiny, write_manifest

from harness.errors import ExitCode
from harness.manifest.schema import GateSpec
from harness.plugin.catalog import Catalog
from harness.plugin.metrics import MetricSpec
from harness.records import layout
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import write_records
from harness.results.run import Run
from harness.run.gating import exit_code, judge_suite, to_gate

pytestmark = pytest.mark.slow

SIZE = MetricSpec("size_on_disk", unit="kB", better="lower", interval="exact", short=("size",))
CATALOG = Catalog.of([SIZE])


def records(run: str, sizes: Mapping[str, float]) -> list[Record]:
    lines = []
    for detector, size in sizes.items():
        cell = {
            "run": run, "detector": detector, "seed": 0, "stage": "cost", "fingerprint": "f",
            "time": 1e9, "environment": "e", "weights": "w",
        }  # fmt: skip
        lines += [Record.of(Measurement(SIZE.name, size), SIZE, **cell)]
        lines += [Record(kind="cell", **cell)]
    return lines


def run_of(folder: Path, **sizes: float) -> Run:
    """A run in which the metric of each detector has that value."""
    names = dict.fromkeys([*sizes, "gone"])
    return Run(folder, {"detectors": names}, tuple(records(folder.name, sizes)), CATALOG)


def gate(**fields: object) -> GateSpec:
    return GateSpec.model_validate({"metric": "size", "against": "s", **fields})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return run_of(tmp_path / "now", s=10.0, m=11.0, l=20.0)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"at_most": 1.5, "of": "ratio"}, "size <= 1.5x against s"),
        ({"at_least": -2, "of": "percent", "detector": "m"}, "m:size >= -2% against s"),
        ({"at_least": -0.5}, "size >= -0.5 against s"),
    ],
)
def test_a_gate_reads_as_on_the_command_line(fields: dict[str, object], text: str):
    made = to_gate(gate(**fields))
    assert made.text == text
    assert (made.metric, made.upper) == ("size", "at_most" in fields)


@pytest.mark.parametrize(
    ("fields", "verdict", "code"),
    [
        ({"detector": "m", "at_most": 1.0}, "passed", ExitCode.OK),
        ({"detector": "m", "at_most": 0.9}, "missed", ExitCode.GATE_MISSED),
        ({"detector": "m", "at_most": 1.1, "of": "ratio"}, "passed", ExitCode.OK),
        ({"detector": "m", "at_most": 1.05, "of": "ratio"}, "missed", ExitCode.GATE_MISSED),
        ({"detector": "m", "at_most": 10, "of": "percent"}, "passed", ExitCode.OK),
        ({"detector": "m", "at_least": 10.5, "of": "percent"}, "missed", ExitCode.GATE_MISSED),
        ({"detector": "s", "against": "l", "at_most": 0}, "passed", ExitCode.OK),
        ({"at_most": 5}, "missed", ExitCode.GATE_MISSED),
        ({"detector": "gone", "at_most": 5}, "not evaluable", ExitCode.NOTHING_TO_COMPARE),
        ({"detector": "gone", "at_most": 5, "optional": True}, "not evaluable", ExitCode.OK),
        ({"against": "gone", "at_most": 5}, "not evaluable", ExitCode.NOTHING_TO_COMPARE),
        ({"against": "no/such/run", "at_most": 5}, "not evaluable", ExitCode.NOTHING_TO_COMPARE),
        ({"metric": "sizes", "at_most": 5}, "not evaluable", ExitCode.NOTHING_TO_COMPARE),
    ],
)
def test_verdicts_and_exit_codes(run: Run, fields: dict[str, object], verdict: str, code: ExitCode):
    [judged] = judge_suite([gate(**fields)], run)
    assert judged.verdict == verdict
    assert exit_code([judged]) == code
    assert all(result.line.startswith("gate ") for result in judged.results)
    assert all("\n" not in result.line for result in judged.results)


def test_a_gate_of_all_detectors_is_judged_at_each_but_the_one_it_is_against(run: Run):
    [judged] = judge_suite([gate(at_most=5)], run)
    named = {result.line.split(": ")[1]: result.verdict for result in judged.results}
    assert named == {"m": "passed", "l": "missed", "gone": "not evaluable"}


def test_a_missed_gate_outweighs_one_that_cannot_be_evaluated(run: Run):
    both = judge_suite([gate(detector="gone", at_most=5), gate(detector="l", at_most=5)], run)
    assert exit_code(both) == ExitCode.GATE_MISSED


def test_against_an_earlier_run_each_detector_meets_itself(run: Run, tmp_path: Path):
    earlier = tmp_path / "earlier" / "now"
    earlier.mkdir(parents=True)
    sizes = {"s": 10.0, "m": 12.0, "l": 10.0}
    write_records(earlier, records("now", sizes))
    [judged] = judge_suite([gate(against=str(earlier), at_most=1.5, of="ratio")], run)
    assert [result.verdict for result in judged.results] == [
        "missed",
        "passed",
        "passed",
    ]  # l, m, s
    [judged] = judge_suite([gate(against=str(earlier), detector="m", at_most=0)], run)
    assert judged.verdict == "passed"
    [judged] = judge_suite([gate(against=f"{earlier}:s", detector="m", at_most=0.5)], run)
    assert judged.verdict == "missed"


def test_a_run_ends_by_its_gates_and_keeps_what_came_of_them(cli, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data, [tiny("narrow", channels=4), tiny("wide")])
    limit = "gates=[{metric: params, detector: wide, against: narrow, at_most: %s, of: ratio}]"
    call = ["run", "m.yaml", "--stages", "cost", "--run-id"]
    done = cli(*call, "good", "--set", limit % 3)
    assert done.code == 0, done.err
    assert "gate wide:params <= 3x against narrow: wide: passed: " in done.out
    done = cli(*call, "bad", "--set", limit % 1.5)
    assert done.code == 3
    assert "missed" in done.out
    plan = json.loads((tmp_path / "results" / "tiny" / "bad" / layout.PLAN).read_text())
    [kept] = plan["gates"]
    assert (kept["at_most"], kept["of"], kept["verdict"]) == (1.5, "ratio", "missed")
    [result] = kept["results"]
    assert result["line"] in " ".join(done.out.split())
    resumed = cli(*call, "bad", "--resume", "--set", limit % 1.5)
    assert resumed.code == 3, "judged again though every cell is done"
    assert result["line"] in " ".join(resumed.out.split())
    earlier = "gates=[{metric: params, against: results/tiny/good, at_most: 0}]"
    assert cli(*call, "again", "--set", earlier).code == 0
    assert cli(*call, "none", "--set", earlier.replace("params", "ap")).code == 4
    done = cli(*call, "lost", "--set", earlier.replace("good", "lost_and_gone"))
    assert done.code == 4
    note = "note: gate params <= 0 against results/tiny/lost_and_gone: its base does not exist yet"
    assert f"harness: {note}" in done.err


def test_a_failed_cell_outweighs_a_gate(cli, tmp_path: Path, data: Path):
    sick = tiny("sick", where="losses", what="cell")
    write_manifest(tmp_path / "m.yaml", data, [tiny("one"), tiny("two", channels=4), sick])
    limit = "gates=[{metric: params, detector: one, against: two, at_most: 0}]"
    done = cli("run", "m.yaml", "--run-id", "r", "--stages", "train,cost", "--set", limit)
    assert done.code == 1
    assert "missed" in done.out
