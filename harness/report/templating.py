"""Templates and static files as one page that needs nothing but itself."""

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from harness.report import format
from harness.report.figure import styles

# inside a square of 12, centred on 6, 6
SHAPES = {
    "circle": '<circle cx="6" cy="6" r="4.6"/>',
    "square": '<path d="M2 2h8v8H2z"/>',
    "diamond": '<path d="M6 .8 11.2 6 6 11.2 .8 6z"/>',
    "triangle-up": '<path d="M6 1.2 11.2 10.4H.8z"/>',
    "cross": '<path d="M4.2 1h3.6v3.2H11v3.6H7.8V11H4.2V7.8H1V4.2h3.2z"/>',
    "star": '<path d="m6 .6 1.6 3.5 3.8.4-2.8 2.6.8 3.8L6 9 2.6 10.9l.8-3.8L.6 4.5l3.8-.4z"/>',
}


@lru_cache
def environment() -> jinja2.Environment:
    """Whatever a template shows of the data is escaped, an unknown name is an error.

    Filters write numbers as `harness.report.format` does; `embed(value)` puts JSON into a script
    element, `static(name)` a file of static/ into the page.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "breakable": breakable,
        "interval": format.interval,
        "listing": format.listing,
    }
    made.globals |= {
        "amount": format.amount,
        "with_unit": format.with_unit,
        "heading": format.heading,
        "change": format.change,
        "change_interval": format.change_interval,
        "probability": format.probability,
        "marks": format.MARKS,
        "words": format.WORDS,
        "level_marks": format.LEVELS,
        "allowed": format.ALLOWED,
        "dash": format.DASH,
        "embed": embed_json,
        "static": static,
        "zip": zip,
    }
    return made


def render(template: str, /, **shown: Any) -> Markup:
    """A template with what it shows."""
    return Markup(environment().get_template(template).render(shown))


def swatches(detectors: Sequence[str]) -> dict[str, Markup]:
    """Detector -> how figures draw it; hidden from screen readers, since its name follows."""
    svg = Markup('<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true" fill="{}">{}</svg>')
    return {
        name: svg.format(style.color, Markup(SHAPES[style.symbol]))
        for name, style in styles(detectors).items()
    }


def breakable(name: str) -> Markup:
    """A name that a narrow column may break after an underscore, as after a hyphen."""
    return Markup("_<wbr>").join(name.split("_"))


def embed_json(value: Any) -> Markup:
    """JSON that no text in it can end early, whatever it says.

    Raises:
        ValueError: NaN or an infinity, which JSON does not have.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    # inside <script>, "</script" and "<!--" end or change it; the line separators are for old ones
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def static(name: str) -> Markup:
    """Text of a file in static/, our own and so not escaped."""
    return Markup(files("harness.report").joinpath("static", name).read_text(encoding="utf-8"))
