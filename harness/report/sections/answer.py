"""The top of the page: which detector, and is it really better than the others?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from harness.manifest.schema import SUITES_RECIPE
from harness.plugin.metrics import MetricSpec
from harness.report.choices import as_data, compared
from harness.report.figures.tradeoffs import draw, undrawn
from harness.report.format import amount, listing, number
from harness.report.page import show
from harness.report.sections.figures import render_drawing
from harness.results.difference import Difference
from harness.results.estimate import Estimate
from harness.results.ranking import Ranking, dead, rankings
from harness.results.run import Run

MOSTLY_IDLE = 0.5
Rival = tuple[Estimate, Difference]  # and the best's difference to it


def build(run: Run) -> Markup:
    """One picture, and one sentence per question that a metric's declaration asks."""
    found = rankings(run)
    alone = [one for one in found if one.certainty == "alone"]
    contested = [one for one in found if one not in alone]
    picture, not_in_it = _picture(run)
    return show(
        "answer.html",
        run,
        rankings=contested or alone,
        alone=alone if contested else [],
        nothing=nothing_to_rank(run),
        question=question,
        verdict=lambda ranking: " ".join([*verdicts(ranking), *caveats(run, ranking)]),
        picture=picture,
        not_in_it=not_in_it,
        headlines=list(headlines(run)),
        choices=as_data(run),
    )


def nothing_to_rank(run: Run) -> str:
    """Why no detector is best of anything, where none is."""
    if not run.measured:
        return "Nothing has been measured yet."
    if any(dead(run, name) for name in run.detectors):
        which = "No detector has learned anything yet: every"
        if len(run.detectors) == 1:
            which = "The detector has learned nothing yet: its"
        return f"{which} score is below its floor, or invalid. Train for longer."
    if run.ranked("score") or run.ranked("cost"):
        return "Every number so far is invalid; the warnings say why."
    return "No score and no cost has been measured yet."


def question(spec: MetricSpec) -> str:
    """What a detector is the best of, as a heading."""
    most = "Least" if spec.better == "lower" else "Most"
    return spec.question or f"{'Best' if spec.role == 'score' else most} {spec.title}"


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
    """How each was trained, where they differ in it or in where they began."""
    told: dict[str, list[str]] = {}
    for name, detector in run.plan["detectors"].items():
        told.setdefault(_training(detector), []).append(name)
    told.pop("", None)
    if len(told) > 1:
        parts = [f"{', '.join(names)}: {words}" for words, names in told.items()]
        yield (
            f"Trained differently ({'; '.join(parts)}): "
            "part of any difference between them may come from that."
        )


def _training(detector: Mapping[str, Any]) -> str:
    train = detector.get("train")
    if not train or train["steps"] == 0:  # not trained here
        return ""
    length = f"{train['steps']:,} steps" if train["steps"] else f"{train['epochs']} epochs"
    batch = train["batch_size"] * train.get("accumulate", 1)
    weights = {"checkpoint": "a checkpoint", "backbone_checkpoint": "a backbone's checkpoint"}
    begun = [words for key, words in weights.items() if detector.get(key)]
    told = f"{length} of {batch} images" + "".join(f" from {words}" for words in begun)
    recipe = detector.get("recipe", {}).get("use", SUITES_RECIPE)
    if recipe != SUITES_RECIPE:
        return f"{told} by the recipe {recipe}"
    if isinstance(train.get("augment"), list):  # an older plan has names alone
        augment = ", ".join(one["use"] for one in train["augment"])
        return f"{told} by {train['optimizer']['use']} with augmentation {augment}"
    return told


def launch_bound(run: Run) -> Iterator[str]:
    """Where a GPU was idle most of the time, latencies are those of launching kernels."""
    idle: dict[str, float] = {}
    ranked = {spec.name for spec in run.ranked("cost")}
    for name in run.detectors:
        of = [record for metric in ranked for record in run.records_of(name, metric)]
        shares = [r.conditions.get("device_idle_share") for r in of]
        known = [share for share in shares if isinstance(share, float)]
        if known and min(known) > MOSTLY_IDLE:  # it says no more than is true of all seeds
            idle[name] = min(known)
    if idle:
        least = min(idle.values())
        share = f"{100 * least:.0f} %{' or more' * (len(idle) > 1)}"
        yield (
            f"With {listing(idle)} the GPU was idle {share} of the time: such a latency is the "
            "time it takes to launch the kernels, so a detector that computes less looks no faster "
            "unless it also launches fewer."
        )


def _picture(run: Run) -> tuple[Markup | None, str]:
    """The first score against the first cost that is measured and not counted, else any cost.

    Returns:
        the picture, and who is not in it.
    """
    scores, costs = run.ranked("score"), run.ranked("cost")
    timed = [spec for spec in costs if spec.kind == "time"] or costs
    if not scores or not timed:
        return None, ""
    drawing = draw(run, scores[0], timed[:1])
    if drawing is None:
        return None, ""
    title = f"{scores[0].title} against {timed[0].title}"
    without = " ".join(undrawn(run, (scores[0], timed[0])))
    return render_drawing("answer", drawing, title, caption=False), without


def verdicts(ranking: Ranking) -> Iterator[str]:
    """Whether the others are really behind, in a sentence or two."""
    if not ranking.differences:
        yield "Nothing else competes."
        return
    better = [pair for pair in ranking.rivals if pair[1].verdict == "better"]
    if better:
        yield f"{_ahead(ranking.metric)} {_whom(better, ranking)}{_by(ranking.metric, better)}."
    rest = [pair for pair in ranking.rivals if pair[1].verdict != "better"]
    yield from compared((other.detector, found) for other, found in rest)


def caveats(run: Run, ranking: Ranking) -> Iterator[str]:
    """What the intervals of a clear answer leave out."""
    if ranking.certainty == "single":
        for caveat in dict.fromkeys(c for found in ranking.differences for c in found.caveats):
            words = run.catalog.word(caveat)
            yield f"{words[:1].upper()}{words[1:]}."


def _whom(better: Sequence[Rival], ranking: Ranking) -> str:
    """Those behind; "all others" where that says it."""
    if len(better) == 1 or len(better) < len(ranking.rivals):
        return listing(other.detector for other, _ in better)
    return "both others" if len(better) == 2 else "all others"


def _ahead(spec: MetricSpec) -> str:
    """What is counted has no noise to be significant against."""
    if spec.interval == "exact":
        return "Less than" if spec.better == "lower" else "More than"
    return "Significantly better than"


def _by(spec: MetricSpec, better: Sequence[Rival]) -> str:
    """By how much, against the nearest of them."""
    found = better[0][1]
    if spec.role == "score":
        much = amount(spec, abs(found.value)) + " points" * (spec.shown_unit == "%")
    elif found.ratio > 0:
        much = f"a factor of {number(max(found.ratio, 1 / found.ratio), 2)}"
    else:
        return ""
    return f" (by {much}{' or more' * (len(better) > 1)})"
