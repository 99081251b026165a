"""Templates and static files as one page that needs nothing but itself."""

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from harness.report.marks import LEVELS, MARKS


@lru_cache
def template(name: str) -> jinja2.Template:
    """A template; whatever it shows of the data is escaped, an unknown name is an error.

    `embed(value)` puts JSON into a script element, `static(name)` a file of static/ into the page;
    `marks` and `level_marks` are the signs of `harness.report.marks`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = {"embed": embed_json, "static": static, "marks": MARKS, "level_marks": LEVELS}
    environment.globals.update(own)
    return environment.get_template(name)


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
