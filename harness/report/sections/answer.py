"""The top of the page: which detector, and is it really better than the others?"""

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from harness.plugin.metrics import MetricSpec
from harness.report.figures.tradeoffs import draw
from harness.report.format import amount, listing
from harness.report.page import show
from harness.report.sections.figures import render_drawing
from harness.results.difference import Difference
from harness.results.ranking import Ranking, rankings
from harness.results.run import Run

MOSTLY_IDLE = 0.5


def build(run: Run) -> Markup:
    """One picture, and one sentence per question that a metric's declaration asks."""
    found = rankings(run)
    picture = _picture(run)
    return show(
        "answer.html",
        run,
        rankings=found,
        verdict=lambda ranking: " ".join(verdicts(ranking)),
        learned=bool(found) or not run.ranked("score"),
        picture=picture,
        headlines=list(headlines(run)),
    )


def headlines(run: Run) -> Iterator[str]:
    """What to read before believing the numbers."""
    yield from unequal_training(run)
    yield from launch_bound(run)
    levels = {run.estimate(n, metric).level for n in run.detectors for metric in run.columns}
    if "invalid" in levels:
        yield "Some numbers are invalid and left out of every answer; see the warnings."
    if run.notes:
        yield "Something could not be derived; see the conditions and warnings."


def unequal_training(run: Run) -> Iterator[str]:
    """How long each was trained, where they differ in it or in where they began."""
    told: dict[str, list[str]] = {}
    for name, detector in run.plan["detectors"].items():
        told.setdefault(_training(detector), []).append(name)
    told.pop("", None)
    if len(told) > 1:
        parts = [f"{', '.join(names)}: {words}" for words, names in told.items()]
        yield (
            f"Not trained alike ({'; '.join(parts)}): "
            "differences between them are differences in training, too."
        )


def _training(detector: Mapping[str, Any]) -> str:
    train = detector.get("train")
    if not train:
        return ""
    length = f"{train['steps']:,} steps" if train["steps"] else f"{train['epochs']} epochs"
    batch = train["batch_size"] * train.get("accumulate", 1)
    weights = {"checkpoint": "a checkpoint", "backbone_checkpoint": "a backbone's checkpoint"}
    begun = [words for key, words in weights.items() if detector.get(key)]
    return f"{length} of {batch} images" + "".join(f" from {words}" for words in begun)


def launch_bound(run: Run) -> Iterator[str]:
    """Where a GPU was idle most of the time, latencies are those of launching kernels."""
    idle: dict[str, float] = {}
    ranked = {spec.name for spec in run.ranked("cost")}
    for name in run.detectors:
        of = [r for r in run.measured if (r.detector, r.scope) == (name, "") and r.metric in ranked]
        shares = [r.conditions.get("device_idle_share") for r in of]
        known = [share for share in shares if isinstance(share, float)]
        if known and min(known) > MOSTLY_IDLE:  # it says no more than is true of all seeds
            idle[name] = min(known)
    if idle:
        least = min(idle.values())
        share = f"{least:.0%}" if len(idle) == 1 else f"{least:.0%} or more"
        yield (
            f"With {', '.join(idle)} the GPU was idle {share} of the time: such a latency is the "
            "time it takes to launch the kernels, so a detector that computes less looks no faster "
            "unless it also launches fewer."
        )


def _picture(run: Run) -> Markup | None:
    """The first score against the first cost that is measured and not counted, else any cost."""
    scores, costs = run.ranked("score"), run.ranked("cost")
    timed = [spec for spec in costs if spec.kind == "time"] or costs
    if not scores or not timed:
        return None
    drawing = draw(run, scores[0], timed[:1])
    return None if drawing is None else render_drawing("answer", drawing, caption=False)


def verdicts(ranking: Ranking) -> Iterator[str]:
    """Whether the others are really behind, in a sentence or two."""
    if not ranking.differences:
        yield "There is nothing to compare it with."
        return
    groups: dict[str, list[str]] = {}
    for other, found in ranking.rivals:
        groups.setdefault(found.verdict, []).append(other.detector)
    if better := groups.pop("better", None):
        everyone = "both others" if len(better) == 2 else "all others"
        whom = listing(better) if groups or len(better) == 1 else everyone
        yield f"{_ahead(ranking.metric)} {whom}{_by(ranking)}."
    if same := groups.pop("equal", None):
        yield f"The same as {listing(same)}."
    if noise := [*groups.pop("noise", []), *groups.pop("worse", [])]:
        yield f"Not significantly different from {listing(noise)}."
    if unknown := groups.pop("unknown", None):
        yield f"Against {listing(unknown)} the noise is unknown."
    for others in groups.values():
        found = next(d for other, d in ranking.rivals if other.detector == others[0])
        yield f"Not comparable with {listing(others)}: {_why(found)}."


def _ahead(spec: MetricSpec) -> str:
    """What is counted has no noise to be significant against."""
    if spec.interval == "exact":
        return "Less than" if spec.better == "lower" else "More than"
    return "Significantly better than"


def _by(ranking: Ranking) -> str:
    """By how much, against the nearest of them."""
    spec = ranking.metric
    other, found = next(pair for pair in ranking.rivals if pair[1].verdict == "better")
    if spec.role == "cost":
        return f" (next is {other.detector} with {1 / found.ratio:.3g}x)" if found.ratio else ""
    several = " or more" if len(ranking.rivals) > 1 else ""
    return f" (by {amount(spec, found.value)}{several})"


def _why(found: Difference) -> str:
    if found.mismatches:
        return str(found.mismatches[0])
    return found.verdict
