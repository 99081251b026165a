"""What stands in records.jsonl stands there whole, whatever happens while it is written."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import CELL, ended, measured

from harness.errors import UserError
from harness.plugin.metrics import Finding, Level, MetricSpec
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import RecordStore


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "records.jsonl")


def test_what_is_appended_is_read_in_order(store: RecordStore):
    assert store.read() == []
    first, second = [measured("ap"), ended()], [measured("ap50", samples=(1.0, 2.5)), ended()]
    store.append(first)
    store.append(second)
    assert store.read() == first + second


def test_nan_and_infinity_survive_and_the_file_stays_json(store: RecordStore):
    odd = {"x": math.nan, "y": [math.inf]}
    broken = measured(value=math.nan, samples=(1.0, math.nan), conditions=odd)
    store.append([broken, measured(value=-math.inf)])
    for line in store.path.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    first, second = store.read()
    assert math.isnan(first.value)
    assert first.samples[0] == 1.0
    assert math.isnan(first.samples[1])
    assert second.value == -math.inf


def test_numbers_of_other_libraries_become_plain_ones(store: RecordStore):
    import numpy as np

    half, three, two = np.float32(0.5), np.int64(3), np.float32(2)
    given = Measurement("m", half, count=three, samples=(two,))
    store.append([Record.of(given, MetricSpec("m", unit="ms", better="lower"), **CELL)])
    [read] = store.read()
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
def test_a_record_of_an_older_version_is_refused_with_what_reads_it(store: RecordStore, schema):
    plain = json.loads(measured().to_json())
    del plain["schema"]
    store.path.write_text(json.dumps({**plain, **schema, "warnings": ["in words"]}) + "\n")
    with pytest.raises(UserError) as caught:
        store.read()
    assert str(caught.value) == (
        f"{store.path}:1: it was written by harness 0.3 or older (harness 0.3 reads it)"
    )


def test_an_unfinished_last_line_is_left_out_and_overwritten(store: RecordStore):
    store.append([measured("ap")])
    whole = store.path.read_bytes()
    store.path.write_bytes(whole + measured("ap50").to_json().encode()[:40])
    assert [r.metric for r in store.read()] == ["ap"]
    store.append([measured("ap75")])
    assert [r.metric for r in store.read()] == ["ap", "ap75"]
    assert store.path.read_bytes().startswith(whole)


@pytest.mark.parametrize("line", ["not json", "[]", "3", '{"run": "r"}', '{"value": "x"}', "\xff"])
def test_a_line_that_is_no_record_is_named(store: RecordStore, line: str):
    store.append([measured()])
    store.path.write_bytes(store.path.read_bytes() + line.encode("latin-1") + b"\n")
    with pytest.raises(UserError) as caught:
        store.read()
    assert str(store.path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_written_where_nothing_can_be(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written: .* run again with --resume"):
        RecordStore(tmp_path / "file" / "records.jsonl").append([measured()])


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from making import measured
from harness.errors import UserError
from harness.records.store import RecordStore

store = RecordStore(Path({path!r}))
store.append([measured("ap")])
size = store.path.stat().st_size
for room in (0, 1, 100, size, 2 * size + 7):  # the write fails at once, or half way
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, -1))
    try:
        store.append([measured("lost", samples=tuple(range(200))), measured("lost")])
    except UserError as error:
        print(error)
    assert store.path.stat().st_size == size, room
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
store.append([measured("ap50")])
"""


def test_a_full_disk_loses_nothing_and_leaves_no_half_line(store: RecordStore):
    script = FULL_DISK.format(path=str(store.path), here=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all("nothing already measured is lost" in line for line in lines)
    assert [r.metric for r in store.read()] == ["ap", "ap50"]
