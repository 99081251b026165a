"""`harness plan` as tables."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.text import Text

from harness.plan.cells import Cell, Plan
from harness.report.terminal import Grid, Head


def plan_tables(plan: Plan) -> Iterator[Grid]:
    """The cells, then data and meters, then each detector's parts, with every parameter.

    Cells that differ in seed and mode alone are one row; `--json` has every fingerprint.
    """
    yield _cells(plan)
    yield _protocol(plan)
    for name in plan.parts:
        yield _detector(plan, name)


def _cells(plan: Plan) -> Grid:
    suite = plan.suite
    title = (
        f"{suite.suite}, profile {suite.profile}, data {plan.source.name} "
        f"({len(plan.classes)} classes), {len(plan.cells)} cells"
    )
    grid = Grid(["detector", Head("seed"), "stage", "mode", "how long", "fingerprint"], title)
    alike: dict[tuple[str, str], list[Cell]] = {}
    for cell in plan.cells:
        alike.setdefault((cell.detector, cell.stage), []).append(cell)
    for (detector, stage), cells in alike.items():
        seeds = _joined(str(cell.seed) for cell in cells)
        modes = _joined(cell.mode for cell in cells)
        which = cells[0].fingerprint if len(cells) == 1 else f"{len(cells)} cells"
        grid.add(detector, seeds, stage, modes, _how_long(plan, cells[0]), which)
    return grid


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def _how_long(plan: Plan, cell: Cell) -> str:
    train = plan.suite.detectors[cell.detector].train
    length = f"{train.steps} steps" if train.steps else f"{train.epochs} epochs"
    told = {
        "train": f"{length} of {train.batch_size} images",
        "latency": f"{plan.suite.latency.runs} runs",
    }
    return told.get(cell.stage, "")


def _protocol(plan: Plan) -> Grid:
    """Data, meters and how they measure."""
    suite = plan.suite
    grid = Grid(["", "", ""], "protocol")
    _add(grid, "data", suite.data.use, suite.data.params)
    for meter in plan.meters:
        _add(grid, meter.stage, meter.meter.name, meter.params)
    _add(grid, "evaluate", "", suite.evaluate.model_dump())
    _add(grid, "latency", "", suite.latency.model_dump())
    grid.add(Text("columns", "dim"), "", ", ".join(plan.columns))
    return grid


def _detector(plan: Plan, name: str) -> Grid:
    spec = plan.suite.detectors[name]
    grid = Grid(["", "", ""], name)
    if spec.detections is not None:
        grid.add(Text("detections", "dim"), "", spec.detections)
        return grid
    for role, part in plan.parts[name].items():
        _add(grid, role, part.declaration.name, part.params)
    if "detector" not in plan.parts[name] or "input" in spec.model_fields_set:
        _add(grid, "input", "x".join(map(str, spec.input.size)), {})
    if spec.goes_through("train"):
        train, training = spec.train.model_dump(), plan.training[name]
        _add(grid, "train", "", {k: v for k, v in train.items() if k not in training.identity()})
        for part in (training.optimizer, training.schedule, *training.augment):
            _add(grid, part.role, part.declaration.name, part.params)
    else:
        grid.add(Text("train", "dim"), "", "steps=0: not trained")
    for key in ("checkpoint", "backbone_checkpoint"):
        if getattr(spec, key):
            grid.add(Text(key, "dim"), "", str(getattr(spec, key)))
    return grid


def _add(grid: Grid, key: str, use: str, params: Mapping[str, Any]) -> None:
    """What is chosen and its settings."""
    told = (f"{name}={_short(value)}" for name, value in params.items() if value is not None)
    grid.add(Text(key, "dim"), use, ", ".join(told))


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_short(v) for v in value) + "]"
    return str(value)
