"""Every figure drawn in a real browser from disk, without a network."""

from pathlib import Path

import pytest
from browser import find_browser, opened

from harness.report.figures import figures
from harness.report.plotly_bundle import plotly_script
from harness.report.templating import embed_json
from harness.results.run import Run

sync_api = pytest.importorskip("playwright.sync_api")
BROWSER = find_browser()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this system")
STYLE = ":root{--ink:#000;--paper:#fff;--soft:#555;--line:#ddd}:root[data-theme=dark]{--paper:#111}"
MARKS = """() => Object.fromEntries([...document.querySelectorAll(".plot")].map((box) => [
  box.dataset.figure, box.querySelectorAll(".trace path, .points path, .scatter path").length]))"""
OUTSIDE = """() => [...document.querySelectorAll(".plot svg text")].filter((text) => {
  const own = text.getBoundingClientRect();
  const box = text.closest(".plot").getBoundingClientRect();
  return own.width && (own.left < box.left - 1 || own.right > box.right + 1 ||
    own.top < box.top - 1 || own.bottom > box.bottom + 1);
}).map((text) => text.closest(".plot").dataset.figure + ": " + text.textContent)"""


@pytest.fixture(scope="module")
def bare_page(made: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The figures alone."""
    path = tmp_path_factory.mktemp("figures") / "figures.html"
    parts = [f"<!doctype html><meta charset='utf-8'><style>{STYLE}</style>"]
    for f in figures(made):
        parts.append(f'<div class="plot" data-figure="{f.name}" data-title="{f.title}"></div>')
        data = embed_json(f.plot)
        parts.append(f'<script type="application/json" id="figure-{f.name}">{data}</script>')
    path.write_text("".join([*parts, plotly_script()]), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [360, 1100])
def test_every_figure_has_marks_and_no_text_is_cut(made: Run, bare_page: Path, width: int) -> None:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        with opened(browser, bare_page, width=width, draw=True) as (page, complaints):
            drawn = page.evaluate(MARKS)
            assert set(drawn) == {figure.name for figure in figures(made)}
            assert min(drawn.values()) > 0, drawn
            assert page.evaluate(OUTSIDE) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator(".plot").first.get_attribute("role") == "img"
            assert complaints == []
        browser.close()


def test_theme_is_followed_and_svg_saved(bare_page: Path, tmp_path: Path) -> None:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        with opened(browser, bare_page, draw=True) as (page, complaints):
            paper = "document.querySelector('.plot')._fullLayout.paper_bgcolor"
            assert page.evaluate(paper) == "#fff"
            page.evaluate("document.documentElement.dataset.theme = 'dark'")
            page.wait_for_function(f"{paper} === '#111'")
            with page.expect_download() as saved:
                page.locator("button.save-svg").first.press("Enter")
            saved.value.save_as(tmp_path / "figure.svg")
            assert "<svg" in (tmp_path / "figure.svg").read_text(encoding="utf-8")[:200]
            assert complaints == []
        browser.close()


def test_a_browser_that_cannot_unpack_says_so(bare_page: Path) -> None:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_init_script("delete window.DecompressionStream")
        page.goto(bare_page.as_uri())
        page.evaluate("() => window.harnessFigures.drawAll()")
        assert "its numbers stand below" in page.locator(".plot").first.inner_text()
        browser.close()
