"""Plotly's own script within the page, compressed, and the script that draws with it."""

import base64
import gzip
from functools import lru_cache

from markupsafe import Markup

from harness.report.figure import TEMPLATE
from harness.report.templating import embed_json, static


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
