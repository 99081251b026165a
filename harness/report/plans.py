"""`harness plan` as tables."""

from collections.abc import Iterator

from rich.table import Table

from harness.plan.cells import Plan


def plan_tables(plan: Plan) -> Iterator[Table]:
    """The cells, then each detector's parts with every resolved parameter."""
    yield _cells(plan)
    yield _protocol(plan)
    for name in plan.parts:
        yield _detector(plan, name)


def _cells(plan: Plan) -> Table:
    suite = plan.suite
    title = (
        f"{suite.suite}, profile {suite.profile}, data {plan.source.name} "
        f"({len(plan.classes)} classes), {len(plan.cells)} cells"
    )
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("detector", "seed", "stage", "mode", "how long", "fingerprint"):
        table.add_column(heading, no_wrap=True)
    for cell in plan.cells:
        train = suite.detectors[cell.detector].train
        length = f"{train.steps} steps" if train.steps else f"{train.epochs} epochs"
        how_long = f"{length} of {train.batch_size} images" if cell.stage == "train" else ""
        if cell.stage == "latency":
            how_long = f"{suite.latency.runs} runs"
        shown = (cell.detector, str(cell.seed), cell.stage, cell.mode, how_long)
        table.add_row(*shown, cell.fingerprint)
    return table


def _protocol(plan: Plan) -> Table:
    """Data, meters and how they measure."""
    suite = plan.suite
    table = _settings_table("protocol")
    table.add_row("data", suite.data.use, _settings(suite.data.params))
    for meter in plan.meters:
        table.add_row(meter.stage, meter.meter.name, _settings(meter.part.params))
    table.add_row("evaluate", "", _settings(suite.evaluate.model_dump()))
    table.add_row("latency", "", _settings(suite.latency.model_dump()))
    table.add_row("columns", "", ", ".join(suite.columns))
    return table


def _detector(plan: Plan, name: str) -> Table:
    spec = plan.suite.detectors[name]
    table = _settings_table(name)
    for role, part in plan.parts[name].items():
        table.add_row(role, part.declaration.name, _settings(part.params))
    if "detector" not in plan.parts[name]:
        table.add_row("input", f"{spec.input.size[0]}x{spec.input.size[1]}", "")
    train = {k: v for k, v in spec.train.model_dump().items() if not isinstance(v, dict)}
    nested = {"optimizer": spec.train.optimizer, "schedule": spec.train.schedule}
    table.add_row("train", "", _settings(train))
    for key, value in nested.items():
        table.add_row(f"  {key}", "", _settings(value.model_dump()))
    for key in ("checkpoint", "backbone_checkpoint"):
        if getattr(spec, key):
            table.add_row(key, "", str(getattr(spec, key)))
    return table


def _settings_table(title: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", show_header=False, box=None
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    return table


def _settings(values: object) -> str:
    assert hasattr(values, "items")
    return ", ".join(f"{key}={_short(value)}" for key, value in values.items() if value is not None)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_short(v) for v in value) + "]"
    return str(value)
