"""The table that a run prints, at the widths of terminals."""

from io import StringIO
from pathlib import Path

import pytest
from making_runs import make_run
from rich.console import Console

from harness.report.marks import DOUBTFUL
from harness.report.summary import print_summary
from harness.results.ap.paired import over_seeds


def printed(tmp_path: Path, width: int, **options: object) -> str:
    out = StringIO()
    run = make_run(tmp_path / "run", **options)
    print_summary(run, Console(file=out, width=width, color_system=None))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_number_is_cut(tmp_path: Path, width: int):
    text = printed(tmp_path, width)
    table = text.split("AP: COCO's")[0]
    assert "±" in table
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= width


def test_half_the_interval_stands_beside_a_value(tmp_path: Path):
    text = printed(tmp_path, 120, seeds=(0,))
    run = make_run(tmp_path / "same", seeds=(0,))
    name = run.detectors[0]
    estimate = run.analyses_of(name)[0].metrics["ap"]
    seeds = over_seeds(run.analyses_of(name), "ap")
    half = 100 * (seeds.high - seeds.low) / 2
    assert half > 0
    assert f"{100 * estimate.value:.1f}{DOUBTFUL} ±{half:.1f}" in text
    assert f"{DOUBTFUL} doubtful; the report says why" in text  # of so few images
    assert "±: half the 95 % interval" in text


def test_without_intervals_there_is_no_word_of_them(tmp_path: Path):
    assert "±" not in printed(tmp_path, 120, analysed=False)
