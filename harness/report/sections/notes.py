"""On what terms the numbers hold, and which of them not to believe."""

from markupsafe import Markup

from harness.report.notes import captions, warnings_of
from harness.report.page import show
from harness.results.run import Run


def build(run: Run) -> Markup:
    """Conditions, warnings of the numbers in the main table, and what could not be derived."""
    places = [run.estimate(name, metric) for name in run.detectors for metric in run.columns]
    there = [found for found in places if found.is_there]
    return show(
        "notes.html",
        run,
        captions=captions(run),
        warned=warnings_of(run, run.columns),
        valid=sum(found.level == "valid" for found in there),
        numbers=len(there),
    )
