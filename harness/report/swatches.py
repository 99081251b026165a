"""The mark of a detector as a small picture, as the figures draw it."""

from collections.abc import Sequence

from markupsafe import Markup

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


def swatches(detectors: Sequence[str]) -> dict[str, Markup]:
    """Detector -> inline SVG, hidden from screen readers, since the name stands beside it."""
    return {
        name: Markup(
            '<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true" fill="{}">{}</svg>'
        ).format(style.color, Markup(SHAPES[style.symbol]))
        for name, style in styles(detectors).items()
    }
