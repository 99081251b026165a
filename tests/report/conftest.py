"""A made run and its page, once for all tests of reports."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import find_browser
from making_runs import make_run

from harness.report.page import render_page
from harness.results.run import Run

if TYPE_CHECKING:
    from playwright import sync_api

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


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    """The system's Chromium; tests are skipped without it."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright")
    if find_browser() is None:
        pytest.skip("no chromium")
    with api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield started
        started.close()
