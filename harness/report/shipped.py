"""The page's own sections and figures, declared as anybody's."""

from collections.abc import Sequence

from harness.plugin.declarations import Figure, Section
from harness.plugin.hookspecs import hookimpl
from harness.report.figures import FIGURES

MODULES = "harness.report.sections."


@hookimpl
def harness_sections() -> Sequence[Section]:
    return [
        _section("answer", 10, "Which detector, and is it really better?", "best and how sure"),
        _section("results", 20, "Results", "every number of every detector"),
        _section("pairs", 30, "Is A better than B?", "differences of all pairs, per score"),
        _section("bought", 35, "Which part bought the accuracy?", "what one change is worth"),
        _section("modes", 40, "Inference modes", "each mode against eager"),
        _section("figures", 50, "Figures", "all figures"),
        _section("claims", 60, "Published, and measured here", "claims of the suite"),
        _section("gallery", 70, "Images", "worst misses of small objects"),
        _section(
            "crops", 75, "Missed small objects", "close-ups of what a detector misses, and why"
        ),
        _section("run", 80, "What ran, and how to run it again", "cells, commands, data"),
        _section("notes", 90, "Conditions and warnings", "on what terms the numbers hold"),
        _section("provenance", 100, "Provenance", "machines, versions, the plan"),
    ]


@hookimpl
def harness_figures() -> Sequence[Figure]:
    return FIGURES


def _section(name: str, order: float, title: str, summary: str) -> Section:
    return Section(name, f"{MODULES}{name}:build", summary=summary, title=title, order=order)
