"""report.html: one self-contained page of a run, made from its folder alone."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import __version__
from harness.files import write_text
from harness.report.figures import figures
from harness.report.gallery import gallery
from harness.report.plotly_bundle import plotly_script
from harness.report.sections.answer import COSTS, QUESTIONS, find_answer
from harness.report.sections.claims import list_claims
from harness.report.sections.launching import explain_launching
from harness.report.sections.main_table import DEFAULT, lay_out_table
from harness.report.sections.matrix import compare_all
from harness.report.sections.measured import make_board
from harness.report.sections.modes import compare_modes
from harness.report.sections.notes import collect_notes
from harness.report.sections.provenance import trace
from harness.report.sections.state import describe_state, show_time
from harness.report.sections.training import unequal_training
from harness.report.swatches import swatches
from harness.report.templating import template
from harness.results.run import Run

CONTENTS = {
    "answer": "Which one?",
    "run": "What ran",
    "results": "Results",
    "pairs": "All pairs",
    "modes": "Inference modes",
    "figures": "Figures",
    "claims": "Published claims",
    "gallery": "Images",
    "notes": "What to believe",
    "provenance": "Provenance",
}


def write_page(path: Path, run: Run) -> None:
    """Write the page whole; it needs nothing but itself.

    Raises:
        UserError: the folder is read-only or the disk full.
    """
    write_text(path, render_page(run))


def render_page(run: Run, now: datetime | None = None) -> str:
    """The page as text; every number on it comes from the run's folder.

    Args:
        now: when the page says that it was written.
    """
    shown = sections(run)
    optional = {"pairs": "matrices"}
    contents = [(id, words) for id, words in CONTENTS.items() if shown.get(optional.get(id, id), 1)]
    return template("run.html").render(
        suite=run.plan["suite"],
        profile=run.plan["profile"],
        run_id=run.run_id,
        contents=contents,
        written=show_time((now or datetime.now(UTC)).timestamp()),
        version=__version__,
        swatches=swatches(run.detectors),
        plotly=plotly_script(),
        **shown,
    )


def sections(run: Run) -> dict[str, Any]:
    """What each section shows, by its name in the templates."""
    metrics = tuple(run.plan.get("columns", DEFAULT))
    board = make_board(run, tuple(dict.fromkeys([*metrics, *QUESTIONS, *COSTS])))
    return {
        "answer": find_answer(board),
        "state": describe_state(run),
        "table": lay_out_table(board, metrics),
        "matrices": compare_all(board),
        "modes": compare_modes(run),
        "figures": figures(run),
        "claims": list_claims(run),
        "gallery": gallery(run),
        "notes": collect_notes(run, board, metrics),
        "provenance": trace(run),
        "training": unequal_training(run),
        "launching": explain_launching(board),
    }
