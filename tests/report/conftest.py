"""A made run and its page, once for all tests of reports."""

from pathlib import Path

import pytest
from making_runs import make_run

from harness.report.page import render_page
from harness.results.run import Run

CLAIM = {
    "detector": "tinydet_s",
    "metric": "ap",
    "value": 0.26,
    "unit": "AP",
    "split": "COCO test-dev2017",
    "source": "the paper, table 1",
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Four detectors, two seeds, everything measured."""
    return make_run(tmp_path_factory.mktemp("runs") / "made", published=[CLAIM])


@pytest.fixture(scope="session")
def made_page(made: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_page(made), encoding="utf-8")
    return path
