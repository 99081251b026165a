"""`harness plan --cost`: what each detector would cost, before anything is trained."""

import torch
from rich.table import Table

from harness.errors import UserError
from harness.plan.cells import Plan
from harness.run.detectors import build_detector
from harness.stages.cost import measure_cost


def cost_table(plan: Plan) -> Table:
    """`harness plan --cost`: what the cost meters measure of each detector, on a grey image.

    Raises:
        UserError: the suite has no cost meter.
    """
    image = torch.full((3, 480, 640), 127, dtype=torch.uint8)
    chosen = plan.meters_of("cost")
    if not chosen:
        raise UserError("the suite has no cost meter", hint="meters: [macs_paper, parameters]")
    specs = {spec.name: spec for m in chosen for spec in m.specs}
    wanted = list(specs)
    meters = [m.part.declaration.load()(**m.part.params) for m in chosen]
    table = Table(title="cost (grey 640x480 image)", title_justify="left", title_style="bold")
    table.add_column("detector", no_wrap=True)
    table.add_column("role", no_wrap=True)
    for metric in wanted:
        table.add_column(metric, justify="right", no_wrap=True)
    for name in plan.parts:
        detector = build_detector(plan, name, seed=0).detector
        rows: dict[str, dict[str, str]] = {}
        for m in measure_cost(detector, meters, image):
            rows.setdefault(m.scope, {})[m.metric] = f"{m.value:,.3f} {specs[m.metric].unit}"
        for scope, values in sorted(rows.items(), key=lambda item: item[0] != ""):
            shown = name if scope == "" else ""
            table.add_row(
                shown, scope.removeprefix("role/"), *(values.get(w, "") for w in wanted),
                style="bold" if scope == "" else "dim",
            )  # fmt: skip
    return table
