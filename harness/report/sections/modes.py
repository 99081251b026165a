"""What each inference mode costs and gives: a row per mode, each against the detector's eager."""

from itertools import groupby

from markupsafe import Markup

from harness.report.mode_rows import (
    main_time,
    mode_metrics,
    mode_rows,
    mode_warnings,
    quantized_rows,
    quantized_scores,
)
from harness.report.page import show
from harness.results.run import Run
from harness.stages.metrics import MODE_SCORE


def build(run: Run) -> Markup | None:
    """None where no detector ran in more than one mode."""
    rows = mode_rows(run)
    if not rows:
        return None
    main = main_time(run)
    # a 99th percentile is written below its median
    tails = {s.samples_of: s for s in mode_metrics(run) if s.percent == 99}
    columns = [s for s in mode_metrics(run) if s.percent != 99]
    columns.sort(key=lambda spec: (spec != main, spec.kind != "time"))
    breaks = [e.conditions.get("graph_breaks") for r in rows for e in r.estimates.values()]
    return show(
        "modes.html",
        run,
        groups=[(name, list(own)) for name, own in groupby(rows, key=lambda row: row.detector)],
        columns=[s for s in columns if any(row.estimates[s.name].is_there for row in rows)],
        tails=tails,
        main=main,
        checked=MODE_SCORE,
        has_breaks=any(count is not None for count in breaks),
        elsewhere=list(dict.fromkeys(row.mode for row in rows if not row.scope)),
        quantized=quantized_rows(run, rows),
        scores=quantized_scores(run),
        warned=[w for w in mode_warnings(run, rows) if w.level != "valid"],
    )
