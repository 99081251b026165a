"""Which runs there are, and what people say of them."""

import json
import shutil
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.records.about import About, read_about

pytestmark = pytest.mark.slow

RUN = Path("results") / "tiny" / "done"


@pytest.fixture
def noted(cli, copied: Path) -> Path:
    """A finished run with a note and a tag, beside one that never began."""
    planned = copied.parent / "planned"
    planned.mkdir()
    shutil.copy(copied / "plan.json", planned / "plan.json")
    assert cli("note", RUN, "first try", "--tag", "wide").code == 0
    return copied


def test_runs_with_how_far_they_came_and_what_was_best(cli, noted: Path) -> None:
    out = cli("runs").out
    [row] = [line for line in out.splitlines() if "tiny/done" in line]
    assert "4 of 4" in row
    [other] = [line for line in out.splitlines() if "tiny/planned" in line]
    assert "0 of 4" in other
    assert out.index("tiny/done") < out.index("tiny/planned")  # the latest first
    assert "#wide" in out
    assert "first try" in out
    assert cli("runs", "results/tiny").out.count("4 of 4") == 1


def test_no_head_is_broken_where_there_is_little_room(cli, noted: Path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    heads = cli("runs").out.splitlines()[0]
    assert heads.split() == ["run", "last", "cell", "data", "cells", "took", "best", "note"]
    assert cli("note", RUN, "", "--untag", "wide").code == 0
    assert "note" not in cli("runs").out.splitlines()[0]


def test_only_those_with_all_tags(cli, noted: Path) -> None:
    assert cli("note", RUN, "--tag", "neck").out.splitlines()[0] == "#neck #wide first try"
    assert "planned" not in cli("runs", "--tag", "wide").out
    assert "done" in cli("runs", "--tag", "wide", "--tag", "neck").out
    none = cli("runs", "--tag", "wide", "--tag", "deep")
    assert (none.code, "done" in none.out) == (0, False)
    assert "no run has these tags" in none.err


def test_a_note_is_replaced_and_tags_go(cli, noted: Path) -> None:
    assert cli("note", RUN, "better", "--untag", "wide").out.splitlines()[0] == "better"
    assert read_about(noted) == About("better", ())
    assert cli("note", RUN, "").out.splitlines()[0] == "no note and no tags"


def test_the_page_shows_it_as_text(cli, noted: Path) -> None:
    cli("note", RUN, "<b>bold</b>")
    assert cli("report", RUN).code == 0
    page = (noted / "report.html").read_text()
    assert '<span class="pill">wide</span> &lt;b&gt;bold&lt;/b&gt;' in page


def test_a_run_adds_tags_and_replaces_the_note(cli, noted: Path) -> None:
    again = ("run", "m.yaml", "--run-id", "done", "--resume")
    assert cli(*again, "--tag", "more").code == 0
    assert read_about(noted) == About("first try", ("more", "wide"))
    assert cli(*again, "--note", "second try").code == 0
    assert read_about(noted) == About("second try", ("more", "wide"))


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
    assert "4 of 4" in done.out


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"note": "x"})])
def test_what_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "about.json").write_text(text)
    with pytest.raises(UserError, match=r"about\.json"):
        read_about(tmp_path)
