"""Which runs there are, and what people say of them."""

import json
import shutil
from pathlib import Path

import pytest
from tiny_suite import tiny, write_manifest

from harness.errors import UserError
from harness.records.about import About, read_about

RUN = Path("results") / "tiny" / "noted"


@pytest.fixture
def noted(cli, tmp_path: Path, data: Path) -> Path:
    """A finished run that was given a note and a tag, and one that never began."""
    write_manifest(tmp_path / "m.yaml", data, [tiny("one"), tiny("two")])
    done = cli("run", "m.yaml", "--run-id", "noted", "--note", "first try", "--tag", "wide")
    assert done.code == 0, done.err
    planned = tmp_path / "results" / "tiny" / "planned"
    planned.mkdir()
    shutil.copy(tmp_path / RUN / "plan.json", planned / "plan.json")
    return tmp_path / RUN


def test_runs_with_how_far_they_came_and_what_was_best(cli, noted: Path) -> None:
    out = cli("runs").out
    [row] = [line for line in out.splitlines() if "tiny/noted" in line]
    assert "8 of 8" in row
    [other] = [line for line in out.splitlines() if "tiny/planned" in line]
    assert "0 of 8" in other
    assert out.index("tiny/noted") < out.index("tiny/planned")  # the latest first
    assert "#wide" in out
    assert "first try" in out
    assert cli("runs", "results/tiny").out.count("8 of 8") == 1


def test_only_those_with_all_tags(cli, noted: Path) -> None:
    assert cli("note", RUN, "--tag", "neck").out.splitlines()[0] == "#neck #wide first try"
    assert "planned" not in cli("runs", "--tag", "wide").out
    assert "noted" in cli("runs", "--tag", "wide", "--tag", "neck").out
    none = cli("runs", "--tag", "wide", "--tag", "deep")
    assert (none.code, "noted" in none.out) == (0, False)
    assert "no run has these tags" in none.err


def test_a_note_is_replaced_and_tags_go(cli, noted: Path) -> None:
    assert cli("note", RUN, "better", "--untag", "wide").out.splitlines()[0] == "better"
    assert read_about(noted) == About("better", ())
    assert cli("note", RUN, "").out.splitlines()[0] == "no note and no tags"


def test_it_stands_on_the_page_as_text(cli, noted: Path) -> None:
    page = noted / "report.html"
    assert '<span class="pill">wide</span> first try' in page.read_text()
    cli("note", RUN, "<b>bold</b>")
    assert cli("report", RUN).code == 0
    assert "&lt;b&gt;bold&lt;/b&gt;" in page.read_text()


def test_resuming_keeps_what_was_said(cli, noted: Path) -> None:
    again = ("run", "m.yaml", "--run-id", "noted", "--resume")
    assert cli(*again, "--tag", "more").code == 0
    assert read_about(noted) == About("first try", ("more", "wide"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tag", "two words"), "'two words' is not a tag"),
        (("--untag", "deep"), "there is no tag 'deep' (there is: wide)"),
    ],
)
def test_tags_that_are_none(cli, noted: Path, arguments: tuple[str, str], told: str) -> None:
    assert told in cli("note", RUN, *arguments).mistake


def test_folders_without_runs(cli, tmp_path: Path) -> None:
    assert "holds no runs" in cli("runs", tmp_path).mistake
    assert "is not the folder of a run" in cli("note", tmp_path, "x").mistake


def test_a_broken_run_is_named_and_the_others_listed(cli, noted: Path) -> None:
    (noted.parent / "planned" / "plan.json").write_text("{")
    done = cli("runs")
    assert "skipped:" in done.err
    assert "planned" in done.err
    assert "8 of 8" in done.out


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"note": "x"})])
def test_what_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "about.json").write_text(text)
    with pytest.raises(UserError, match=r"about\.json"):
        read_about(tmp_path)
