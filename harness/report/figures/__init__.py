"""The page's own figures, declared as anybody's."""

from harness.plugin.declarations import Figure


def _figure(order: int, target: str, title: str, summary: str) -> Figure:
    name = title.lower().replace(" ", "-")
    return Figure(name, f"{__name__}.{target}", summary=summary, title=title, order=order)


FIGURES: tuple[Figure, ...] = (
    _figure(10, "tradeoffs:build", "Score against cost", "every score against every cost"),
    _figure(15, "modes:build", "Modes", "the main score against the time of each mode"),
    _figure(20, "sizes:build", "AP over object size", "in the image and at the network's input"),
    _figure(30, "parts:build_costs", "Cost by part", "every count that is known by role"),
    _figure(40, "parts:build_times", "Time by stage", "the time, split at the spans within it"),
    _figure(50, "repetitions:build", "Time of each repetition", "how the times are distributed"),
    _figure(60, "classes:build", "Score by class", "the main score of each class"),
    _figure(70, "precision:build", "Precision and recall", "at three overlaps"),
    _figure(80, "error_kinds:build", "Kinds of errors", "what each kind costs in AP50"),
    _figure(90, "training:build", "Training", "losses and learning rate over steps"),
    _figure(100, "training:build_terms", "Loss terms", "each term of the loss of each detector"),
)
