"""`harness data`: tables that fit their terminal, a CSV, and mistakes told in one line."""

import csv
from pathlib import Path

import pytest
import typer
from tiny_suite import PLUGIN, make_coco, write_manifest

from harness.cli.app import report_errors
from harness.cli.data import data as command
from harness.report.prospects import NOTES

SUITE = Path(__file__).parents[2] / "suites" / "tinydet.yaml"


@pytest.fixture
def show(cli, capfd: pytest.CaptureFixture[str]):
    """Exit code, stdout and stderr of the command; `cli` sets the folder and the width."""
    app = typer.Typer()
    app.command("data")(report_errors(command))

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = app(args=[str(a) for a in arguments], standalone_mode=False)
        return code, *capfd.readouterr()

    return call


def test_a_set_and_a_detector_without_anchors(show, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data)
    code, out, err = show(data, "--suite", "m.yaml", "-p", PLUGIN, "--csv", "d.csv")
    assert (code, err) == (0, "")
    assert "8, and 0 crowds" in out
    assert "tiny, input 64x64" in out
    rows = list(csv.DictReader((tmp_path / "d.csv").read_text().splitlines()))
    whole = [r for r in rows if (r["low"], r["high"]) == ("0.0", "inf")]
    assert [(r["detector"], r["input"], r["count"]) for r in whole] == [
        ("", "original", "8"), ("tiny", "64x64", "8"),
    ]  # fmt: skip
    # 12 x 12 in 64 x 48 becomes 12 x 16, 30 x 8 becomes 30 x 10.67: sqrt(area) 13.9 and 17.9
    bins = {r["low"]: r["count"] for r in rows if r["detector"] == "tiny"}
    assert (bins["8.0"], bins["16.0"], bins["24.0"]) == ("4", "4", "0")
    assert whole[1]["covered"] == whole[1]["cells_finest"] == ""


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_of_a_real_suite_fit(show, monkeypatch, data: Path, width: int):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = show(
        data, "--suite", SUITE, "--split", "train", "--only", "tinydet_s,ssdlite320"
    )
    assert code == 0
    assert "…" not in out
    tables, _, notes = out.partition(NOTES[0])
    assert max(len(line.rstrip()) for line in tables.splitlines()) <= width
    assert notes  # whole lines where no person reads them
    for word in ("as annotated", "tinydet_s, input 320x320", "ssdlite320, input 320x320"):
        assert word in out
    assert {"positive", "covered", "objects"} <= set(tables.split())
    assert tables.count("positive") == 3  # in one piece wherever it stands
    assert "fasterrcnn320" not in out


def test_mistakes_are_one_line_and_exit_2(show, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data)
    broken = make_coco(tmp_path / "broken", 1, lambda d: d.pop("categories"))
    only_train = make_coco(tmp_path / "train_only", 1)
    (only_train / "annotations" / "instances_val.json").unlink()
    suite = ("--suite", "m.yaml", "-p", PLUGIN)
    for arguments, expected in [
        (("nowhere", *suite), "nowhere: does not exist"),
        ((only_train, *suite), "has no split 'val'"),
        ((broken, *suite), "has no 'categories'"),
        ((data, *suite, "--split", "vla"), "--split: there is no split 'vla' (did you mean 'val'?"),
        ((data, *suite, "--only", "tyni"), "the suite has no detector 'tyni'"),
        ((data, "--suite", "none.yaml"), "none.yaml: no such file"),
    ]:
        code, out, err = show(*arguments)
        assert (code, out) == (2, ""), arguments
        assert len(err.splitlines()) == 1
        assert expected in err
