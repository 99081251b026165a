"""A run as Python and notebooks see it."""

import math
from pathlib import Path

import pytest
from making_runs import DETECTORS, make_run

import harness
from harness.errors import UserError
from harness.report.notebook import OpenedRun
from harness.results.run import Run


def test_a_folder_is_opened_with_intervals(tmp_path: Path) -> None:
    make_run(tmp_path / "run", seeds=(0,))
    run = harness.open_run(str(tmp_path / "run"))
    assert list(run.table.index) == list(DETECTORS)
    with pytest.raises(UserError):
        harness.open_run(tmp_path)


def test_the_table_has_the_numbers_that_are_shown(made: Run) -> None:
    opened = OpenedRun(made)
    assert set(opened.frame["detector"]) == set(made.detectors)
    for name in made.detectors:
        found = opened.estimate(name, "ap")
        assert opened.table.loc[name, "AP (%)"] == pytest.approx(100 * found.value)
        assert found.low < found.value < found.high
    assert opened.difference("ssdlite320", "tinydet_m", "ap") == made.difference(
        "ssdlite320", "tinydet_m", "ap"
    )


def test_it_shows_itself_as_text_and_as_html(made: Run) -> None:
    opened = OpenedRun(made)
    html = opened._repr_html_()
    for name in made.detectors:
        assert name in repr(opened)
        assert f"<th>{name}</th>" in html
        assert f"{100 * opened.estimate(name, 'ap').value:.1f}" in html
    assert "±" in html
    assert "<small>" in html


def test_names_are_text_and_what_is_missing_a_dash(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", detectors={"<b>": 0.3, "other": math.nan}, seeds=(0,))
    html = OpenedRun(run)._repr_html_()
    assert "<th><b></th>" not in html
    assert "&lt;b&gt;" in html
    assert "–" in html
