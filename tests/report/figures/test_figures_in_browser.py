"""Every figure drawn in a real browser from disk, without a network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from browser import find_browser, opened

from harness.report.figure import Drawing, to_json
from harness.report.figures import FIGURES
from harness.report.page import plotly_script
from harness.report.templating import embed_json
from harness.results.run import Run

sync_api = pytest.importorskip("playwright.sync_api")
BROWSER = find_browser()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this system"),
]
STYLE = ":root{--ink:#000;--paper:#fff;--soft:#555;--line:#ddd}:root[data-theme=dark]{--paper:#111}"
MARKS = """() => Object.fromEntries([...document.querySelectorAll(".plot")].map((box) => [
  box.dataset.figure, box.querySelectorAll(".trace path, .points path, .scatter path").length]))"""
OUTSIDE = """() => [...document.querySelectorAll(".plot svg text")].filter((text) => {
  const own = text.getBoundingClientRect();
  const box = text.closest(".plot").getBoundingClientRect();
  return own.width && (own.left < box.left - 1 || own.right > box.right + 1 ||
    own.top < box.top - 1 || own.bottom > box.bottom + 1);
}).map((text) => text.closest(".plot").dataset.figure + ": " + text.textContent)"""
ALL_DRAWN = "[...document.querySelectorAll('.plot')].every((box) => box.dataset.drawn === 'yes')"
HEIGHTS = "[...document.querySelectorAll('.plot')].map((box) => box.clientHeight)"
PLOT = "document.querySelector('.plot')"


@pytest.fixture(scope="module")
def plots(made: Run) -> dict[str, go.Figure]:
    """Name -> figure: the page's own, and one as a plugin may make it, with plotly alone."""
    found = {}
    for figure in FIGURES:
        drawn = figure.load()(made)
        if drawn is None:  # of modes, of which this run has one
            continue
        drawings: list[Drawing] = drawn if isinstance(drawn, list) else [drawn]
        found |= {f"{figure.name}-{n}": one.plot for n, one in enumerate(drawings)}
    return {**found, "bare": go.Figure(go.Scatter(x=[1, 2], y=[3, 4], mode="markers"))}


@pytest.fixture(scope="module")
def bare_page(plots: dict[str, go.Figure], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The figures alone."""
    path = tmp_path_factory.mktemp("figures") / "figures.html"
    parts = [f"<!doctype html><meta charset='utf-8'><style>{STYLE}</style>"]
    for name, plot in plots.items():
        parts.append(f'<div class="plot" data-figure="{name}" data-title="{name}"></div>')
        data = embed_json(to_json(plot))
        parts.append(f'<script type="application/json" id="figure-{name}">{data}</script>')
    path.write_text("".join([*parts, plotly_script()]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [360, 1100])
def test_every_figure_has_marks_and_no_text_is_cut(
    chromium: Any, plots: dict[str, go.Figure], bare_page: Path, width: int
) -> None:
    with opened(chromium, bare_page, width=width, figures="all") as (page, complaints):
        drawn = page.evaluate(MARKS)
        assert set(drawn) == set(plots)
        assert min(drawn.values()) > 0, drawn
        assert page.evaluate(OUTSIDE) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".plot").first.get_attribute("role") == "img"
        assert complaints == []


def test_all_are_drawn_before_anybody_scrolls_and_nothing_moves(
    chromium: Any, bare_page: Path
) -> None:
    with opened(chromium, bare_page) as (page, complaints):
        before = page.evaluate(HEIGHTS)
        assert min(before) > 200
        page.wait_for_function(ALL_DRAWN, timeout=60_000)
        assert page.evaluate("window.scrollY") == 0
        assert page.evaluate(HEIGHTS) == before
        assert complaints == []


def test_panels_change_places_with_the_width(chromium: Any, bare_page: Path) -> None:
    with opened(chromium, bare_page, figures="all") as (page, _):
        domain = f"{PLOT}._fullLayout.xaxis2.domain"
        assert page.evaluate(domain)[0] > 0.3
        ticks = f"{PLOT}._fullLayout.yaxis2.showticklabels"
        assert page.evaluate(ticks) is False  # it shares them with the panel to its left
        page.set_viewport_size({"width": 400, "height": 900})
        page.wait_for_function(f"{domain}[0] === 0")
        assert page.evaluate(domain) == [0, 1]
        assert page.evaluate(ticks) is True
        assert page.evaluate(f"{PLOT}._fullLayout.yaxis2.title.text") == "AP (%)"
        page.set_viewport_size({"width": 1000, "height": 900})
        page.wait_for_function(f"{domain}[0] > 0.3")
        assert page.evaluate(ticks) is False


def test_theme_and_saving_keep_zoom_and_hidden_traces(
    chromium: Any, bare_page: Path, tmp_path: Path
) -> None:
    with opened(chromium, bare_page, figures="all") as (page, complaints):
        area = page.locator(".plot .nsewdrag").first.bounding_box()
        assert area is not None
        page.mouse.move(area["x"] + 50, area["y"] + 50)
        page.mouse.down()
        page.mouse.move(area["x"] + 150, area["y"] + 150, steps=5)
        page.mouse.up()
        zoomed = page.evaluate(f"[...{PLOT}._fullLayout.xaxis.range]")
        assert zoomed[0] > 1  # it began at 0
        assert page.locator(".plotly-notifier .notifier-note").count() == 0
        page.evaluate(f"Plotly.restyle({PLOT}, {{visible: 'legendonly'}}, [0])")
        paper = f"{PLOT}._fullLayout.paper_bgcolor"
        assert page.evaluate(paper) == "#fff"
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        page.wait_for_function(f"{paper} === '#111'")
        with page.expect_download() as saved:
            page.locator("button.save-svg").first.press("Enter")
        saved.value.save_as(tmp_path / "figure.svg")
        svg = (tmp_path / "figure.svg").read_text(encoding="utf-8")
        assert "<svg" in svg[:200]
        assert "rgb(17, 17, 17)" in svg or "#111" in svg
        assert page.evaluate(f"[...{PLOT}._fullLayout.xaxis.range]") == zoomed
        assert page.evaluate(f"{PLOT}._fullData[0].visible") == "legendonly"
        assert complaints == []


def test_on_paper_a_dark_page_is_white(chromium: Any, bare_page: Path) -> None:
    with opened(chromium, bare_page, figures="all") as (page, _):
        paper = f"{PLOT}._fullLayout.paper_bgcolor"
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        page.wait_for_function(f"{paper} === '#111'")
        # the print dialogue does not wait: what it shows is drawn when the event returns
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate(paper) == "#fff"
        assert page.evaluate(f"{PLOT}.clientWidth") > page.evaluate(f"{PLOT}._fullLayout.width")
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        page.wait_for_function(f"{paper} === '#111'")


def test_a_browser_that_cannot_unpack_says_so(chromium: Any, bare_page: Path) -> None:
    page = chromium.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(bare_page.as_uri())
    page.evaluate("() => window.harnessFigures.drawAll()")
    assert "its numbers are below" in page.locator(".plot").first.inner_text()
    page.close()


def test_what_was_not_yet_drawn_is_drawn_for_the_paper(chromium: Any, made_page: Path) -> None:
    page = chromium.new_page()
    # never idle, so that only what is near is drawn before
    page.add_init_script("window.requestIdleCallback = () => 0")
    page.goto(made_page.as_uri())
    page.wait_for_function("document.querySelector('.plot[data-drawn=yes]')")
    left = "document.querySelectorAll('.plot:not([data-drawn=yes])').length"
    assert page.evaluate(left) > 2
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(left) == 0
    page.close()
