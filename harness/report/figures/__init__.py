"""Figures of the page, each made from a run alone, as plain data that plotly draws."""

from harness.report.figures.classes import class_scores
from harness.report.figures.curves import precision_recall
from harness.report.figures.error_kinds import error_costs
from harness.report.figures.figure import Figure, Table
from harness.report.figures.latencies import latency_distributions
from harness.report.figures.sizes import size_curves
from harness.report.figures.splits import cost_by_role, latency_by_stage
from harness.report.figures.tradeoffs import ap_small_tradeoffs, ap_tradeoffs
from harness.report.figures.training import loss_terms, training_curves
from harness.results.run import Run

MAKERS = (
    ap_tradeoffs,
    ap_small_tradeoffs,
    size_curves,
    cost_by_role,
    latency_by_stage,
    latency_distributions,
    class_scores,
    precision_recall,
    error_costs,
    training_curves,
    loss_terms,
)

__all__ = ["Figure", "Table", "figures"]


def figures(run: Run) -> list[Figure]:
    """Every figure that has something to show, in the order of the page."""
    made = (make(run) for make in MAKERS)
    return [figure for figure in made if figure is not None]
