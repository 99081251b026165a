"""The page's own figures, declared as anybody's."""

from harness.plugin.declarations import Figure


def _figure(order: int, module: str, title: str, build: str = "build") -> Figure:
    name = title.lower().replace(" ", "-")
    return Figure(name, f"{__name__}.{module}:{build}", order=order, title=title)


FIGURES: tuple[Figure, ...] = (
    _figure(10, "tradeoffs", "Score against cost"),
    _figure(20, "sizes", "AP over object size"),
    _figure(30, "parts", "Cost by part", "build_costs"),
    _figure(40, "parts", "Time by stage", "build_times"),
    _figure(50, "repetitions", "Time of each repetition"),
    _figure(60, "classes", "Score by class"),
    _figure(70, "precision", "Precision and recall"),
    _figure(80, "errors", "Kinds of errors"),
    _figure(90, "training", "Training"),
    _figure(100, "training", "Loss terms", "build_terms"),
)
