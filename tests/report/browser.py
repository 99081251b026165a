"""A page in the system's Chromium, with no network, as a reader opens it from disk."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, Route

NAMES = ("chromium", "chromium-browser", "google-chrome")
DRAW_ALL = "async () => { await window.harnessFigures.drawAll(); }"
# drawing takes seconds, which a test of something else need not wait for
DRAW_NONE = """
  window.requestIdleCallback = () => 0;
  window.IntersectionObserver = class { observe() {} };
"""
# Text that a reader sees: boxes of text, cut to the scrolled areas and to what is shown.
OVERLAPS = """
() => {
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const cuts = new Map([[null, null], [document.body, null]]);
  const cutOf = (element) => {
    if (!cuts.has(element)) {
      const outer = cutOf(element.parentElement);
      const free = getComputedStyle(element).overflowX === "visible";
      cuts.set(element, free ? outer : cut(plain(element.getBoundingClientRect()), outer));
    }
    return cuts.get(element);
  };
  const cut = (box, by) => by === null ? box : {
    left: Math.max(box.left, by.left), right: Math.min(box.right, by.right),
    top: Math.max(box.top, by.top), bottom: Math.min(box.bottom, by.bottom),
  };
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    const unseen = "script, style, svg, .hidden, .skip, noscript";
    if (!node.data.trim() || parent.closest(unseen)) continue;
    if (!parent.checkVisibility({ visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) {
      const box = cut(plain(rect), cutOf(parent));
      if (box.right - box.left > 1 && box.bottom - box.top > 1)
        boxes.push({ node, text: node.data.trim().slice(0, 40), ...box });
    }
  }
  function plain({ left, right, top, bottom }) { return { left, right, top, bottom }; }
  boxes.sort((a, b) => a.top - b.top);
  const found = [];
  boxes.forEach((a, i) => {
    for (let j = i + 1; j < boxes.length && boxes[j].top < a.bottom - 3; j++) {
      const b = boxes[j];
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - b.top;
      if (a.node !== b.node && across > 2 && down > 4) found.push(`${a.text} | ${b.text}`);
    }
  });
  return found;
}
"""


def find_browser() -> str | None:
    """The system's Chromium."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def opened(
    browser: Browser,
    path: Path,
    *,
    width: int = 1000,
    dark: bool = False,
    script: bool = True,
    figures: Literal["none", "near", "all"] = "near",
) -> Iterator[tuple[Page, list[str]]]:
    """The page and what the browser complains of meanwhile.

    Args:
        figures: which are drawn: none, whoever scrolls where; those near what is seen and, as soon
            as the browser has nothing else to do, the others; or all before anything else happens.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        java_script_enabled=script,
        offline=True,
    )
    complaints: list[str] = []

    def only_disk(route: Route) -> None:
        url = route.request.url
        if url.startswith(("file://", "data:", "blob:")):
            return route.continue_()
        complaints.append(f"asked for {url}")
        return route.abort()

    def tell(message: ConsoleMessage) -> None:
        complaints.append(f"{message.type}: {message.text}")

    context.route("**/*", only_disk)
    if figures == "none":
        context.add_init_script(DRAW_NONE)
    page = context.new_page()
    page.on("console", tell)
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.goto(path.as_uri())
    if figures == "all":
        page.evaluate(DRAW_ALL)
    try:
        yield page, complaints
    finally:
        context.close()


def faults(page: Page) -> list[str]:
    """Serious and critical ones that axe-core finds, as "rule: element"."""
    page.evaluate(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    # a figure is one image to a screen reader; its numbers are in the table below
    found: dict[str, Any] = page.evaluate(
        "async () => await axe.run({ exclude: ['.plot > *'] }, { resultTypes: ['violations'] })"
    )
    return [
        f"{fault['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]
