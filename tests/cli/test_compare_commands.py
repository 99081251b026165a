"""compare, history and export as commands: what they say and their exit codes."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.records import layout
from harness.records.measurement import Measurement
from harness.records.record import Record
from harness.records.store import read_run_records, write_records
from harness.results.run import known_metrics
from harness.results.tables import read_table

Cli = Callable[..., Any]  # the fixture `cli`, which gives code, out and err


def make_run(
    folder: Path, detector: str = "tiny", time: float = 1e9, weights: str = "w", **values: float
) -> Path:
    """A run folder of exact numbers, MMACs, and of an AP without detections."""
    folder.mkdir()
    cell = {
        "run": folder.name,
        "detector": detector,
        "seed": 0,
        "stage": "cost",
        "fingerprint": "f",
        "time": time,
        "environment": "e",
        "weights": weights,
    }
    known = known_metrics()
    measured = [Measurement(name, value) for name, value in values.items()]
    lines = [Record.of(m, known.spec(m.metric), **cell) for m in measured]
    lines.append(Record(kind="cell", **cell))
    write_records(folder, lines)
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The second costs 10 % more and has 2 points less AP."""
    return (
        make_run(tmp_path / "old", macs_paper=100.0, ap=0.40),
        make_run(tmp_path / "new", macs_paper=110.0, ap=0.38, time=1e9 + 60),
    )


def test_two_runs_make_a_table(cli: Cli, pair: tuple[Path, Path]):
    done = cli("compare", *pair)
    assert done.code == 0, done.err
    assert "▼ +10.0 %" in done.out
    assert "? −2.0" in done.out


@pytest.mark.parametrize(
    ("gates", "code", "said"),
    [
        (["macs <= 1.2x"], 0, "passed: 1.100x"),
        (["macs <= 1.05x"], 3, "missed: 1.100x"),
        (["macs <= 1.2x", "ap >= -1"], 3, "missed: -2.00 points, the noise is unknown"),
        (["none:ap >= -1"], 4, "not evaluable"),
        (["none:ap >= -1", "macs <= 1x"], 3, "missed"),
        (["latency <= 1.1x", "macs <= 1.2x"], 4, "not evaluable: no side has such a number"),
    ],
)
def test_gates_decide_the_exit_code(
    cli: Cli, pair: tuple[Path, Path], gates: list[str], code: int, said: str
):
    done = cli("compare", *pair, *(a for gate in gates for a in ("--gate", gate)))
    assert done.code == code, done.err
    assert said in done.out


def test_random_weights_win_nothing_and_pass_no_gate(
    cli: Cli, pair: tuple[Path, Path], tmp_path: Path
):
    lucky = make_run(tmp_path / "lucky", weights="", ap=0.99)
    done = cli("compare", pair[0], lucky, "--metrics", "ap", "--gate", "ap >= -1")
    assert done.code == 4
    assert "⊘ invalid" in done.out
    assert "*" not in done.out
    assert "not evaluable: invalid (the weights are random" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gate", "ap > 1"], "--gate 'ap »> 1': expected '>=' or '<='"),
        (["--gate", "app >= 1"], "did you mean 'ap'?"),
        (["--metrics", "ap,macs_papr"], "did you mean 'macs_paper'?"),
        (["--only", "tinny"], "did you mean 'tiny'?"),
    ],
)
def test_a_mistake_is_one_line(cli: Cli, pair: tuple[Path, Path], arguments: list[str], said: str):
    done = cli("compare", *pair, *arguments)
    assert done.code == 2
    assert said in done.mistake


def test_nothing_in_common_is_exit_4(cli: Cli, pair: tuple[Path, Path], tmp_path: Path):
    other = make_run(tmp_path / "other", detector="another", macs_paper=1.0)
    done = cli("compare", pair[0], other)
    assert done.code == 4
    assert done.mistake == "nothing could be compared"


def test_detectors_are_compared_with_each_other(cli: Cli, pair: tuple[Path, Path], tmp_path: Path):
    other = make_run(tmp_path / "other", detector="another", macs_paper=50.0)
    done = cli("compare", f"{pair[0]}:tiny", f"{other}:another", "--metrics", "macs")
    assert done.code == 0
    assert "▲ −50.0 %" in done.out


def test_everything_is_written(cli: Cli, pair: tuple[Path, Path], tmp_path: Path):
    files = [tmp_path / "out" / f"c.{ending}" for ending in ("csv", "html", "markdown")]
    options = [part for file in files for part in (f"--{file.suffix[1:]}", file)]
    done = cli("compare", *pair, *options)
    assert done.code == 0, done.err
    with files[0].open() as file:
        assert len(list(csv.DictReader(file))) == 2
    assert "<html" in files[1].read_text()
    head = files[2].read_text().splitlines()[0]
    assert [cell.strip() for cell in head.split("|")[1:3]] == ["detector", "metric"]
    assert all(f"written: {file}" in done.out for file in files)


def test_a_metric_is_followed_over_runs(cli: Cli, pair: tuple[Path, Path], tmp_path: Path):
    done = cli("history", tmp_path, "--metric", "macs", "--csv", tmp_path / "h.csv")
    assert done.code == 0, done.err
    assert done.out.index("old") < done.out.index("new")
    assert "▼ +10.0 %" in done.out
    assert len((tmp_path / "h.csv").read_text().splitlines()) == 3
    assert cli("history", tmp_path / "out").code == 2


def test_a_broken_run_is_no_end_of_a_history(cli: Cli, pair: tuple[Path, Path], tmp_path: Path):
    path = layout.records_file(pair[0], "tiny", 0, "cost", "")
    path.write_text("{}\n")
    done = cli("history", tmp_path, "--metric", "macs")
    assert done.code == 0, done.err
    assert "new" in done.out
    assert "harness: note: skipped: " in done.err
    assert f"{path}:1" in done.err


def test_a_crashed_detector_passes_no_gate(cli: Cli, pair: tuple[Path, Path], tmp_path: Path):
    more = make_run(tmp_path / "more", "second", macs_paper=50.0)
    write_records(pair[0], read_run_records(more))
    done = cli("compare", *pair, "--gate", "macs <= 1.2x")
    assert done.code == 4
    assert "passed: 1.100x" in done.out
    mistake = "cannot be evaluated for every number of the base: macs <= 1.2x"
    assert done.mistake == mistake
    assert cli("compare", *pair, "--gate", "macs <= 1.2x", "--only", "tiny").code == 0


@pytest.mark.parametrize("ending", ["parquet", "csv", "sqlite"])
def test_a_run_is_exported(cli: Cli, pair: tuple[Path, Path], tmp_path: Path, ending: str):
    file = tmp_path / f"e.{ending}"
    done = cli("export", pair[0], "--to", file)
    assert done.code == 0, done.err
    assert read_table(file)["value"].tolist() == [100.0, 0.4]


def test_samples_need_a_file_of_their_own_but_in_sqlite(
    cli: Cli, pair: tuple[Path, Path], tmp_path: Path
):
    both = tmp_path / "e.sqlite"
    assert cli("export", pair[0], "--to", both, "--samples", both).code == 0
    assert len(read_table(both, "samples")) == 0
    one = tmp_path / "e.csv"
    done = cli("export", pair[0], "--to", one, "--samples", one)
    assert done.code == 2
    assert "one file cannot hold both" in done.mistake
    assert not one.exists()
    assert cli("export", pair[0], "--to", tmp_path / "e.xlsx").code == 2


CHECKS = """
from harness.plugin.declarations import Meter, NoParams
from harness.plugin.hookspecs import hookimpl
from harness.plugin.metrics import Finding, MetricSpec

def odd(record, samples):
    if record.value > 7:
        yield Finding("too_odd", "invalid", {"value": record.value})

SPEC = MetricSpec("oddness", "Oddness", "od", digits=3, better="lower", kind="count",
                  interval="exact", checks=("odd_meter:odd",))

@hookimpl
def harness_meters():
    return [Meter("oddness", "odd_meter:none", NoParams, "s", stage="cost", metrics=(SPEC,),
                  messages={"too_odd": "{value:g} is too odd"})]
"""


def test_what_a_plugin_declares_counts_where_it_is_named(cli: Cli, tmp_path: Path):
    """Its titles, digits, checks and wordings, in every command that reads runs."""
    (tmp_path / "odd_meter.py").write_text(CHECKS)
    plugin = ("-p", tmp_path / "odd_meter.py")
    given = [make_run(tmp_path / name, oddness=value) for name, value in (("a", 2.0), ("b", 8.0))]
    bare = cli("compare", *given, "--metrics", "oddness")
    assert "Oddness" not in bare.out
    done = cli("compare", *given, "--metrics", "oddness", *plugin)
    assert "Oddness od" in done.out
    assert "⊘ invalid" in done.out
    assert "8 is too odd" in done.out
    shown = cli("history", tmp_path, "--metric", "oddness", *plugin).out
    assert "8.000⊘" in shown
    assert "8 is too odd" in shown
    assert cli("export", given[0], "--to", tmp_path / "e.csv", *plugin).code == 0
    assert "oddness" in (tmp_path / "e.csv").read_text()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_history_fits_its_terminal_whole(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
):
    monkeypatch.setenv("COLUMNS", str(width))
    names = ["20261126-135215", "20261127-090000", "20261127-101010"]
    for place, name in enumerate(names):
        make_run(tmp_path / name, "fasterrcnn320", 1e9 + place, macs_paper=1000.0 + 100 * place)
    done = cli("history", tmp_path, "--metric", "macs")
    table = done.out.partition("\n\n")[0]
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= width
    assert {*names, "fasterrcnn320", "2001-09-09", "1,200.0"} <= set(table.split())
