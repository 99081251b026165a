"""The records of a cell are its last attempt, whole, whatever happens while they are written."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import CELL, ended, measured

from harness.errors import UserError
from harness.plugin.metrics import Finding, Level, MetricSpec
from harness.records import layout
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import (
    Success,
    read_records,
    read_run_records,
    read_success,
    write_records,
)

HERE = str(Path(__file__).parent)


def file_of(run: Path, **cell: object) -> Path:
    """Where the records of the cell that `making` makes lie."""
    found = {**CELL, "mode": "", **cell}
    return layout.records_file(run, *(found[k] for k in ("detector", "seed", "stage", "mode")))


def metrics(records: list[Record]) -> list[str]:
    """Of the measurements; of a cell's end its status."""
    return [r.metric if r.kind == "measurement" else r.status for r in records]


def test_what_is_written_is_read_in_order(tmp_path: Path):
    assert read_run_records(tmp_path) == []
    attempt = [measured("ap"), measured("ap50", samples=(1.0, 2.5)), ended()]
    write_records(tmp_path, attempt)
    assert read_run_records(tmp_path) == read_records(file_of(tmp_path)) == attempt


def test_cells_stand_in_the_order_of_detectors_seeds_and_stages(tmp_path: Path):
    latency = {"stage": "latency"}
    cells: list[dict[str, Any]] = [
        {"detector": "a", "seed": 2, "stage": "train"},
        {"detector": "a", "seed": 2, "stage": "evaluate"},
        {"detector": "a", "seed": 2, **latency, "mode": "eager"},
        {"detector": "a", "seed": 2, **latency, "mode": "fused"},
        {"detector": "a", "seed": 2, "stage": "of a later version"},
        {"detector": "a", "seed": 10, "stage": "cost"},
        {"detector": "b", "seed": 0, "stage": "train"},
    ]
    expected = [r for cell in cells for r in (measured(**cell), ended(**cell))]
    for start in range(0, len(expected), 2):
        write_records(tmp_path, expected[-2 - start :][:2])
    assert read_run_records(tmp_path) == expected
    assert len(layout.records_files(tmp_path)) == len(cells)


def test_a_plan_has_an_order_of_its_own(tmp_path: Path):
    """That of the manifest; cells that it does not have come last."""
    cells = [("b", 0, "cost", ""), ("a", 0, "latency", "fused"), ("a", 0, "latency", "eager")]
    keys = ("detector", "seed", "stage", "mode")
    given = [dict(zip(keys, cell, strict=True)) for cell in [*cells, ("a", 0, "train", "")]]
    for cell in given[::-1]:
        write_records(tmp_path, [ended(**cell)])
    plan = tmp_path / layout.PLAN
    plan.write_text(json.dumps({"cells": given[:3]}))
    assert read_run_records(tmp_path) == [ended(**cell) for cell in given]
    for broken in ("{", "[]", '{"cells": [3]}', '{"cells": null}'):
        plan.write_text(broken)
        assert [r.detector for r in read_run_records(tmp_path)] == ["a", "a", "a", "b"]


def test_an_attempt_replaces_the_one_before_and_touches_no_other_cell(tmp_path: Path):
    other = {"stage": "cost"}
    write_records(tmp_path, [measured("ap"), measured("ap50"), ended()])
    write_records(tmp_path, [measured("macs", **other), ended(**other)])
    before = file_of(tmp_path, **other).stat()
    write_records(tmp_path, [measured("ap", 0.75), ended()])
    assert [r.value for r in read_records(file_of(tmp_path))[:-1]] == [0.75]
    after = file_of(tmp_path, **other).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_one_call_may_bring_several_cells(tmp_path: Path):
    one, two = {"mode": "eager"}, {"mode": "fused"}
    first, second = [measured("a", **one), ended(**one)], [measured("b", **two), ended(**two)]
    write_records(tmp_path, [first[0], *second, first[1]])
    assert metrics(read_records(file_of(tmp_path, **one))) == ["a", "ok"]
    assert metrics(read_records(file_of(tmp_path, **two))) == ["b", "ok"]


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_retried_cell_that_fails_keeps_its_numbers_and_the_failure(tmp_path: Path, status: str):
    good = [measured("ap"), ended()]
    first, second = (ended(status, error=error) for error in ("no memory", "loss became NaN"))
    write_records(tmp_path, good)
    write_records(tmp_path, [measured("ap", 0.1), first])
    assert read_records(file_of(tmp_path)) == [*good, first]
    write_records(tmp_path, [second])
    assert read_records(file_of(tmp_path)) == [*good, second]
    write_records(tmp_path, [measured("ap50"), ended()])
    assert metrics(read_records(file_of(tmp_path))) == ["ap50", "ok"]


def test_numbers_replace_a_failure(tmp_path: Path):
    write_records(tmp_path, [ended("failed", error="no memory")])
    write_records(tmp_path, [measured("ap"), ended()])
    assert metrics(read_records(file_of(tmp_path))) == ["ap", "ok"]


def test_nan_and_infinity_survive_and_the_file_stays_json(tmp_path: Path):
    odd = {"x": math.nan, "y": [math.inf]}
    broken = measured(value=math.nan, samples=(1.0, math.nan), conditions=odd)
    write_records(tmp_path, [broken, measured(value=-math.inf), ended()])
    write_records(tmp_path, [ended("failed")])  # they are read and written once more
    for line in file_of(tmp_path).read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    first, second, *_ = read_run_records(tmp_path)
    assert math.isnan(first.value)
    assert first.samples[0] == 1.0
    assert math.isnan(first.samples[1])
    assert second.value == -math.inf


def test_numbers_of_other_libraries_become_plain_ones(tmp_path: Path):
    import numpy as np

    half, three, two = np.float32(0.5), np.int64(3), np.float32(2)
    given = Measurement("m", half, count=three, samples=(two,))
    made = Record.of(given, MetricSpec("m", unit="ms", better="lower"), **CELL)
    write_records(tmp_path, [made, ended()])
    read, _ = read_run_records(tmp_path)
    assert (read.unit, read.higher_is_better) == ("ms", False)
    assert (read.value, read.count, read.samples) == (0.5, 3, (2.0,))
    assert [type(read.value), type(read.count), type(read.samples[0])] == [float, int, float]


@pytest.mark.parametrize("value", [None, "0.5", [1.0], {}])
def test_a_measurement_that_is_no_number_is_refused_at_once(value: object):
    with pytest.raises(TypeError, match=r"'m' is .*, not a number"):
        Record.of(Measurement("m", value), MetricSpec("m"), **CELL)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
FINDINGS = st.builds(
    Finding,
    code=st.text(),
    level=st.sampled_from(get_args(Level)),
    params=st.dictionaries(st.text(), st.integers() | st.text() | FINITE),
)


@given(
    st.builds(
        measured,
        metric=st.text(),
        value=st.floats(allow_nan=False),
        scope=st.text(),
        error=st.text(),
        count=st.none() | st.integers(0, 10**9),
        samples=st.lists(st.floats(allow_nan=False), max_size=3).map(tuple),
        warnings=st.lists(FINDINGS, max_size=2).map(tuple),
        conditions=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers()),
    )
)  # fmt: skip
def test_a_record_is_one_line_and_comes_back(record: Record):
    line = record.to_json()
    assert len(line.splitlines()) == 1
    assert Record.from_json(line) == record


def test_keys_of_a_newer_version_are_left_out():
    line = json.dumps({**json.loads(measured().to_json()), "colour": "blue", "schema": 3})
    assert Record.from_json(line).schema == 3


@pytest.mark.parametrize("schema", [{}, {"schema": 1}])
def test_a_record_of_an_older_version_is_refused_with_what_reads_it(
    tmp_path: Path, schema: dict[str, int]
):
    write_records(tmp_path, [measured(), ended()])
    path = file_of(tmp_path)
    plain = json.loads(measured().to_json())
    del plain["schema"]
    old = json.dumps({**plain, **schema, "warnings": ["in words"]})
    path.write_text(f"{path.read_text()}{old}\n")
    for read, place in ((read_records, path), (read_run_records, tmp_path)):
        with pytest.raises(UserError) as caught:
            read(place)
        assert str(caught.value) == (
            f"{path}:3: it was written by harness 0.3 or older (harness 0.3 reads it)"
        )
    with pytest.raises(UserError, match=r"harness 0\.3 reads it"):
        write_records(tmp_path, [measured(), ended()])
    assert old in path.read_text(), "what cannot be read is not written over"


def test_an_unfinished_last_line_is_left_out_and_gone_with_the_next_attempt(tmp_path: Path):
    write_records(tmp_path, [measured("ap"), ended()])
    path = file_of(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + measured("ap50").to_json().encode()[:40])
    assert metrics(read_run_records(tmp_path)) == ["ap", "ok"]
    write_records(tmp_path, [ended("failed")])
    assert metrics(read_run_records(tmp_path)) == ["ap", "ok", "failed"]
    assert path.read_bytes().startswith(whole)


@pytest.mark.parametrize("line", ["not json", "[]", "3", '{"run": "r"}', '{"value": "x"}', "\xff"])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str):
    write_records(tmp_path, [measured(), ended()])
    path = file_of(tmp_path)
    path.write_bytes(path.read_bytes() + line.encode("latin-1") + b"\n")
    with pytest.raises(UserError) as caught:
        read_run_records(tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    if line != "\xff":
        assert f"{path}:3: " in str(caught.value)


def test_nothing_is_written_where_nothing_can_be(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written: .*, then --resume"):
        write_records(tmp_path / "file", [measured(), ended()])


START = """
import os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from making import ended, measured
from harness.errors import UserError
from harness.records.store import write_records

run = Path(sys.argv[2])
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", START + script, HERE, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


FULL_DISK = """
write_records(run, [measured("ap"), ended()])
[path] = run.rglob("*.jsonl")
before = path.read_bytes()
big = [measured("lost", samples=tuple(range(200))), measured("lost"), ended()]
for room in (0, 1, 100, len(before), len(before) + 7):  # fails at once, or half way
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, -1))
    try:
        write_records(run, big)
    except UserError as error:
        print(error)
    assert path.read_bytes() == before, room
    assert list(path.parent.iterdir()) == [path], room
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
write_records(run, [measured("ap50"), ended()])
"""


def test_a_full_disk_loses_nothing_and_leaves_nothing_half(tmp_path: Path):
    out, err = (process := start(FULL_DISK, tmp_path)).communicate(timeout=60)
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert len(lines) == 5
    assert all("what was there is intact" in line for line in lines)
    assert metrics(read_run_records(tmp_path)) == ["ap50", "ok"]


DIES = """
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(os, sys.argv[3], die)
write_records(run, [measured("ap50"), ended()])
"""


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_writer_that_is_killed_has_written_nothing(tmp_path: Path, call: str):
    write_records(tmp_path, [measured("ap"), ended()])
    (process := start(DIES, tmp_path, call)).communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert layout.records_files(tmp_path) == [file_of(tmp_path)]
    assert metrics(read_run_records(tmp_path)) == ["ap", "ok"]
    write_records(tmp_path, [measured("ap75"), ended()])
    assert metrics(read_run_records(tmp_path)) == ["ap75", "ok"]


WRITES = """
for attempt in range(10**9):
    write_records(run, [*[measured(value=float(attempt))] * 200, ended()])
    print(attempt, flush=True)
"""


def test_a_reader_sees_whole_attempts_while_they_are_written_and_after_a_kill(tmp_path: Path):
    process = start(WRITES, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    seen = set()
    for look in range(40):
        if look == 39:
            process.kill()
            process.wait()
        *numbers, end = read_run_records(tmp_path)
        assert (len(numbers), end.status) == (200, "ok")
        [value] = {record.value for record in numbers}
        seen.add(value)
    process.communicate()
    assert len(seen) > 1, "the writer stood still"


SIDE_BY_SIDE = """
for value in range(20):
    for stage in ("cost", "latency"):
        cell = {"detector": sys.argv[3], "stage": stage}
        write_records(run, [measured(value=float(value), **cell), ended(**cell)])
"""


def test_processes_write_cells_of_one_run_side_by_side(tmp_path: Path):
    detectors = ["a", "b", "c"]
    processes = [start(SIDE_BY_SIDE, tmp_path, detector) for detector in detectors]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    found = [(r.detector, r.stage, r.value) for r in read_run_records(tmp_path) if r.metric]
    assert found == [(name, stage, 19.0) for name in detectors for stage in ("cost", "latency")]


def test_a_success_tells_what_it_was_measured_with(tmp_path: Path):
    on = {"conditions": {"device_type": "cuda"}}
    write_records(tmp_path, [measured("ap", **on), measured("ap50"), ended(weights="w")])
    found = read_success(file_of(tmp_path))
    assert found == Success(ended().fingerprint, "w", frozenset({"cuda"}))
    write_records(tmp_path, [ended(status="failed")])
    assert read_success(file_of(tmp_path)) is None


def test_there_is_no_success_without_an_end(tmp_path: Path):
    path = file_of(tmp_path)
    assert read_success(path) is None
    write_records(tmp_path, [measured("ap"), ended()])
    whole = path.read_bytes()
    path.write_bytes(b"")
    assert read_success(path) is None
    for cut in (1, 20):  # what ends without its line break may go on
        path.write_bytes(whole[:-cut])
        assert read_success(path) is None
    path.write_bytes(whole + b"{}\n")
    with pytest.raises(UserError, match=r"written by harness 0\.3 or older"):
        read_success(path)
    path.write_bytes(whole + b"no record\n")
    with pytest.raises(UserError, match="is not a record"):
        read_success(path)
