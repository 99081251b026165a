"""report.html: one self-contained page of a run, made from its folder alone.

The page is its sections in their order, each a declaration with a builder (`docs/hooks.md`). One
that raises leaves a line in its place.
"""

import base64
import gzip
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from harness import __version__
from harness.files import write_text
from harness.plugin.declarations import Section
from harness.plugin.manager import loaded_plugins
from harness.plugin.registry import Registry
from harness.report.figure import TEMPLATE
from harness.report.format import moment
from harness.report.templating import embed_json, render, static, swatches
from harness.results.run import Run


def write_page(path: Path, run: Run, goes_on: bool = False) -> None:
    """Write the page whole; it needs nothing but itself.

    Args:
        goes_on: see `render_page`.

    Raises:
        UserError: the folder is read-only or the disk full.
    """
    write_text(path, render_page(run, goes_on=goes_on))


def render_page(
    run: Run,
    now: datetime | None = None,
    registry: Registry | None = None,
    goes_on: bool = False,
) -> str:
    """The page as text; every number on it comes from the run's folder.

    Args:
        now: when the page says that it was written.
        registry: whose sections and figures; those of the loaded plugins by default.
        goes_on: more is being measured: the page says what comes next, and looks for a newer one of
            itself now and then.
    """
    # which shows itself by this module
    from harness.report.sections.run import describe_rest, describe_state

    chosen = declared("section", registry)
    made = [(section, build(section, run)) for section in chosen]
    there = [(section, body) for section, body in made if body is not None]
    return render(
        "run.html",
        run=run,
        sections=there,
        contents=[(section.name, section.name.capitalize()) for section, _ in there],
        written=moment((now or datetime.now(UTC)).timestamp()),
        version=__version__,
        state=describe_state(run),
        rest=describe_rest(run) if goes_on else "",
        scripts=plotly_script() if any('class="plot"' in body for _, body in there) else "",
    )


def declared(kind: str, registry: Registry | None = None) -> list[Section]:
    """Sections or figures in their order."""
    entries = (registry or loaded_plugins()).entries(kind)
    found = [e.declaration for e in entries if isinstance(e.declaration, Section)]
    return sorted(found, key=lambda section: (section.order, section.name))


def build(section: Section, run: Run) -> Markup | None:
    """What a section shows, or a line on why it could not be made."""
    try:
        return _as_markup(section.load()(run))
    except Exception as error:  # whatever a stranger's section does, the others are shown
        return broken(section, error)


def broken(section: Section, error: Exception) -> Markup:
    """The line in the place of what raised."""
    why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    line = Markup('<p class="callout">“{}” could not be made: {}</p>')
    return line.format(section.title or section.name, why)


def show(template: str, run: Run, **shown: Any) -> Markup:
    """A section's template, with what all of them use."""
    looks = swatches(run.detectors)
    return render(template, run=run, swatches=looks, word=run.catalog.word, **shown)


def _as_markup(shown: object) -> Markup | None:
    """Markup as it is, text as a paragraph, a frame as a table."""
    if shown is None or isinstance(shown, Markup):
        return shown
    if isinstance(shown, pd.DataFrame):
        return render("table.html", table=shown, caption="")
    if isinstance(shown, str):
        return Markup("<p>{}</p>").format(shown)
    raise TypeError(f"it returned a {type(shown).__name__}, not Markup, text, a frame or None")


@lru_cache(maxsize=1)
def plotly_script() -> Markup:
    """Script elements for the end of the page's body; they ask for nothing from a network.

    Plotly (4.8 MB) is carried as gzip in base64, a third of that, and unpacked by the browser when
    the first figure comes near. Without DecompressionStream (browsers before 2023) a line in
    place of each figure says so; the tables below hold the same numbers.
    """
    from plotly.offline import get_plotlyjs

    # no time of making, so that equal pages are equal files
    packed = gzip.compress(get_plotlyjs().encode(), compresslevel=9, mtime=0)
    text = base64.b64encode(packed).decode("ascii")
    template = embed_json(TEMPLATE.to_plotly_json())
    return Markup(
        f'<script type="application/json" id="plotly-template">{template}</script>\n'
        f"<script>\n{static('figures.js')}</script>\n"
        f'<script type="text/plain" id="plotly-packed">{text}</script>'
    )
