"""`harness plan --cost`: what each detector would cost, before anything is trained."""

import torch

from harness.errors import UserError
from harness.plan.cells import Plan
from harness.report.format import amount
from harness.report.terminal import Grid, Head
from harness.run.detectors import build_detector
from harness.stages.cost import measure_cost


def cost_table(plan: Plan) -> Grid:
    """What the cost meters measure of each detector, on a grey image.

    Raises:
        UserError: the suite has no cost meter.
    """
    image = torch.full((3, 480, 640), 127, dtype=torch.uint8)
    chosen = plan.meters_of("cost")
    if not chosen:
        raise UserError("the suite has no cost meter", hint="meters: [macs_paper, parameters]")
    specs = {spec.name: spec for m in chosen for spec in m.specs}
    meters = [m.make() for m in chosen]
    grid = Grid(["", *map(Head.of, specs.values())], "cost (grey 640x480 image)")
    for name, parts in plan.parts.items():
        if not parts:
            continue  # a file of detections costs nothing
        detector = build_detector(plan, name, seed=0).detector
        rows: dict[str, dict[str, str]] = {}
        for m in measure_cost(detector, meters, image):
            rows.setdefault(m.scope, {})[m.metric] = amount(specs[m.metric], m.value)
        grid.group(name)
        for scope, values in sorted(rows.items(), key=lambda item: item[0] != ""):
            part = scope.removeprefix("role/") or "all"
            style = "dim" if scope else ""
            grid.add(part, *(values.get(metric, "") for metric in specs), style=style)
    return grid
