"""The figures of the page, each in its place, with the numbers that it shows below it."""

from collections.abc import Iterator

import plotly.graph_objects as go
from markupsafe import Markup

from harness.plugin.declarations import Section
from harness.report.figure import Drawing, to_json
from harness.report.page import broken, declared
from harness.report.templating import render
from harness.results.run import Run


def build(run: Run) -> Markup | None:
    """Every figure that has something to show; None without any."""
    made = [part for figure in declared("figure") for part in _draw(figure, run)]
    return render("figures.html", figures=made) if made else None


def _draw(figure: Section, run: Run) -> Iterator[Markup]:
    """A figure's drawings; one that raises leaves a line in its place."""
    try:
        found = figure.load()(run)
        for number, one in enumerate(found if isinstance(found, list) else [found]):
            if one is None:
                continue
            drawing = Drawing(one) if isinstance(one, go.Figure) else one
            name = figure.name if not number else f"{figure.name}-{number + 1}"
            yield render_drawing(name, drawing, drawing.title or figure.title or name)
    except Exception as error:  # whatever a stranger's figure does, the others are drawn
        yield broken(figure, error)


def render_drawing(name: str, drawing: Drawing, title: str, *, caption: bool = True) -> Markup:
    """One figure.

    Args:
        name: id within the page.
        caption: whether title, note and numbers are shown with it.
    """
    return render(
        "figure.html",
        name=name,
        title=title,
        drawing=drawing,
        plot=to_json(drawing.plot),
        caption=caption,
    )
