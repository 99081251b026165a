"""The page as a reader meets it: on a phone, in the dark, by keyboard, without a script."""

import csv
import io
from pathlib import Path

import pytest
from browser import OVERLAPS, faults, find_browser, opened
from making_runs import make_run

from harness.report.page import render_page

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_browser() is None, reason="no chromium")]
SUITE = ["tinydet_s", "tinydet_m", "tinydet_l", "ssdlite320"]
ROWS = "[...document.querySelectorAll('#results-table tbody tr')].filter(r => !r.hidden)"
NAMES = f"{ROWS}.map(r => r.cells[0].dataset.value)"
# a page from disk has no rights to ask for; this is what the copy button would paste
CATCH = """() => {
  window.pasted = [];
  const keep = (text) => { window.pasted.push(text); return Promise.resolve(); };
  Object.defineProperty(navigator, "clipboard", { value: { writeText: keep } });
}"""
FORBID = """() => {
  window.pasted = [];
  const no = () => Promise.reject(new Error("forbidden"));
  Object.defineProperty(navigator, "clipboard", { value: { writeText: no } });
  document.execCommand = () => { window.pasted.push(document.activeElement.value); return true; };
}"""


@pytest.mark.parametrize(
    ("width", "dark"), [(400, False), (400, True), (1000, False), (1600, True)]
)
def test_quiet_and_nothing_overlaps(
    browser: "sync_api.Browser", made_page: Path, width: int, dark: bool
) -> None:
    with opened(browser, made_page, width=width, dark=dark, figures="all") as (page, complaints):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(OVERLAPS) == []
        assert complaints == []


@pytest.mark.parametrize("width", [400, 1000])
def test_long_names_do_not_widen_the_page(
    browser: "sync_api.Browser", tmp_path: Path, width: int
) -> None:
    names = {f"a_detector_with_a_long_name{n:02}": 0.2 + 0.01 * n for n in range(12)}
    assert {len(name) for name in names} == {29}
    path = tmp_path / "report.html"
    run = make_run(tmp_path / "long", detectors=names, seeds=(0,))
    path.write_text(render_page(run), encoding="utf-8")
    with opened(browser, path, width=width, figures="none") as (page, _):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(OVERLAPS) == []


def test_overlap_would_be_found(browser: "sync_api.Browser", made_page: Path) -> None:
    with opened(browser, made_page, figures="none") as (page, _):
        page.evaluate("document.querySelector('h1').style.marginBottom = '-30px'")
        assert page.evaluate(OVERLAPS) != []


@pytest.mark.parametrize(
    ("scrolled", "inner", "found"),
    [
        ("overflow: auto", "", []),  # its second line is not seen
        ("", "", [{"second", "below"}]),
        ("overflow: auto", "margin-top: -20px", [{"first", "second"}]),
    ],
)
def test_only_text_that_is_seen_overlaps(
    browser: "sync_api.Browser", tmp_path: Path, scrolled: str, inner: str, found: list[set[str]]
) -> None:
    path = tmp_path / "page.html"
    text = f"<div>first</div><div style='{inner}'>second</div>"
    outer = f"<div style='height: 20px; line-height: 20px; {scrolled}'>{text}</div>"
    path.write_text(f"<!doctype html><body>{outer}<div>below</div>", encoding="utf-8")
    with opened(browser, path, figures="none") as (page, _):
        assert [set(pair.split(" | ")) for pair in page.evaluate(OVERLAPS)] == found


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1600, False)])
def test_accessible(browser: "sync_api.Browser", made_page: Path, width: int, dark: bool) -> None:
    with opened(browser, made_page, width=width, dark=dark) as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
        assert faults(page) == []


def test_a_fault_would_be_found(browser: "sync_api.Browser", made_page: Path) -> None:
    with opened(browser, made_page, figures="none") as (page, _):
        page.evaluate("document.querySelector('#notes p').style.color = 'var(--line)'")
        assert any(fault.startswith("color-contrast") for fault in faults(page))


def test_sorts_by_click_and_by_keyboard(browser: "sync_api.Browser", made_page: Path) -> None:
    with opened(browser, made_page, figures="none") as (page, complaints):
        assert page.evaluate(NAMES) == SUITE
        ap = page.locator("th[data-title='AP (%)']")
        ap.get_by_role("button").click()
        assert page.evaluate(NAMES) == ["tinydet_l", "tinydet_m", "tinydet_s", "ssdlite320"]
        assert ap.get_attribute("aria-sort") == "descending"
        ap.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert page.evaluate(NAMES)[0] == "ssdlite320"
        assert ap.get_attribute("aria-sort") == "ascending"
        page.get_by_role("button", name="detector", exact=True).click()
        assert page.evaluate(NAMES) == sorted(SUITE)
        assert ap.get_attribute("aria-sort") is None
        assert complaints == []


def test_filters(browser: "sync_api.Browser", made_page: Path) -> None:
    with opened(browser, made_page, figures="none") as (page, _):
        page.get_by_role("searchbox", name="Filter").fill("TINY")
        assert page.evaluate(NAMES) == SUITE[:3]
        assert page.get_by_role("status").inner_text() == "3 of 4 shown"
        page.get_by_role("searchbox", name="Filter").fill("tiny _m")
        assert page.evaluate(NAMES) == ["tinydet_m"]
        page.get_by_role("searchbox", name="Filter").fill("")
        assert page.evaluate(NAMES) == SUITE


def test_hidden_columns_are_neither_seen_nor_copied(
    browser: "sync_api.Browser", made_page: Path
) -> None:
    with opened(browser, made_page, figures="none") as (page, _):
        page.evaluate(CATCH)
        page.locator("summary", has_text="Columns").click()
        page.get_by_role("checkbox", name="AP-small").uncheck()
        assert page.locator("th[data-title='AP (%)']").is_visible()
        assert not page.locator("th[data-title='AP-small (%)']").is_visible()
        page.keyboard.press("Escape")
        assert not page.get_by_role("checkbox", name="AP-small").is_visible()
        page.get_by_role("button", name="Copy CSV").click()
        page.wait_for_function("pasted.length === 1")
        header = page.evaluate("pasted[0]").splitlines()[0]
        assert "AP (%)" in header
        assert "AP-small" not in header


@pytest.mark.parametrize("way", [CATCH, FORBID], ids=["clipboard", "forbidden"])
def test_copies_what_is_shown(browser: "sync_api.Browser", made_page: Path, way: str) -> None:
    with opened(browser, made_page, figures="none") as (page, complaints):
        page.evaluate(way)
        page.get_by_role("searchbox", name="Filter").fill("_l")
        page.get_by_role("button", name="Copy CSV").click()
        page.get_by_role("button", name="Copied").wait_for()
        header, row = csv.reader(io.StringIO(page.evaluate("pasted[0]")))
        assert header[:5] == [
            "detector",
            "AP (%)",
            "AP (%) low",
            "AP (%) high",
            "AP (%) sd over seeds",
        ]
        values = dict(zip(header, row, strict=True))
        assert values["detector"] == "tinydet_l"
        assert float(values["AP (%)"]) == pytest.approx(34.7)
        assert float(values["MACs (MMACs)"]) == 1440.0
        page.get_by_role("button", name="Copy Markdown").click()
        page.wait_for_function("pasted.length === 2")
        lines = page.evaluate("pasted[1]").splitlines()
        assert lines[0].startswith("| detector | AP (%) |")
        assert lines[2].startswith("| tinydet_l | 34.7 |")
        assert len(lines) == 3
        assert complaints == []


def test_theme_button_turns_and_stays(browser: "sync_api.Browser", made_page: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, made_page, figures="none") as (page, _):
        before = page.evaluate(paper)
        button = page.locator("#theme")
        assert button.inner_text() == "Dark theme"
        button.click()
        assert button.inner_text() == "Light theme"
        assert page.evaluate(paper) != before
        page.reload()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_first_key_leads_to_the_content(browser: "sync_api.Browser", made_page: Path) -> None:
    with opened(browser, made_page) as (page, _):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_paper_has_everything_open(browser: "sync_api.Browser", made_page: Path) -> None:
    shut = "document.querySelectorAll('details:not([open]):not(.screen-only)').length"
    with opened(browser, made_page) as (page, complaints):
        page.emulate_media(media="print")
        before = page.evaluate(shut)
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate(shut) == 0
        assert not page.locator("nav.contents").is_visible()
        assert page.pdf()[:4] == b"%PDF"
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate(shut) == before
        assert complaints == []


def test_tables_are_there_without_a_script(browser: "sync_api.Browser", made_page: Path) -> None:
    with opened(browser, made_page, script=False) as (page, complaints):
        assert page.locator("#results-table tbody tr").count() == len(SUITE)
        assert not page.locator("#theme").is_visible()
        assert not page.locator("#choose").is_visible()
        assert complaints == []


def test_hostile_names_run_nothing(browser: "sync_api.Browser", tmp_path: Path) -> None:
    hostile = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    run = make_run(tmp_path / "run", classes=("fine", hostile), suite=hostile, profile=hostile)
    path = tmp_path / "report.html"
    path.write_text(render_page(run), encoding="utf-8")
    with opened(browser, path, figures="none") as (page, complaints):
        assert page.evaluate("window.hit") is None
        assert page.locator("h1").inner_text() == hostile
        assert complaints == []


def test_every_figure_has_drawn_marks(browser: "sync_api.Browser", made_page: Path) -> None:
    with opened(browser, made_page, figures="all") as (page, complaints):
        drawn = page.evaluate(
            """[...document.querySelectorAll('.plot')].map((plot) => [
                plot.dataset.figure,
                plot.querySelectorAll('.trace, .point, .points path, .bars path').length,
            ])"""
        )
        assert drawn
        assert [name for name, marks in drawn if not marks] == []
        assert complaints == []


def test_close_ups_are_chosen_by_detector_class_and_reason(
    browser: "sync_api.Browser", made_page: Path
) -> None:
    shown = """() => [...document.querySelectorAll(".crops figure")]
        .filter((figure) => figure.checkVisibility()).map((figure) => figure.dataset.label)"""
    with opened(browser, made_page, figures="none") as (page, complaints):
        of_first = page.evaluate(shown)
        assert len(of_first) > 3
        assert len(set(of_first)) == 3
        page.select_option(".crops [data-filter=label]", "WBC")
        assert set(page.evaluate(shown)) == {"WBC"}
        assert not page.is_visible(".crops [data-none]")
        page.select_option(".crops [data-filter=kind]", "confused")
        assert page.evaluate(shown) == []
        assert page.is_visible(".crops [data-none]")
        page.select_option(".crops [data-filter=kind]", "")
        page.select_option(".crops [data-filter=label]", "")
        page.check("#crops-1")
        assert page.is_visible(".crops figure .of-1")
        assert not page.is_visible(".crops figure .of-0")
        assert complaints == []
