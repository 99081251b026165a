"""report.html: one plain, self-contained page of a run."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from harness.files import write_text
from harness.plan.cells import Plan
from harness.plan.planner import resolved
from harness.records.environment import Environment
from harness.records.frame import to_frame, wide
from harness.records.record import Record
from harness.report.cells import TITLES, Column, columns_of, notes_of

SIZE_METRICS = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar_100"]
LATENCY_METRICS = [
    f"latency_{kind}_{statistic}"
    for kind in ("network", "postprocessed", "end_to_end")
    for statistic in ("p50", "p99")
]


@dataclass(frozen=True)
class Grid:
    """A table of the page: rows of (name, shown cells with a mark for the best)."""

    title: str
    corner: str
    columns: list[Column]
    rows: list[tuple[str, list[tuple[str, bool]]]]


def write_page(path: Path, records: list[Record], plan: Plan, environment: Environment) -> None:
    """Write the page whole; it needs nothing but itself.

    Raises:
        UserError: the folder is read-only or the disk full.
    """
    write_text(path, render_page(records, plan, environment))


def render_page(records: list[Record], plan: Plan, environment: Environment) -> str:
    """The page as text; every number on it stands in the records."""
    frame = to_frame(records)
    metrics = list(plan.suite.columns)
    loader = jinja2.PackageLoader("harness.report")
    page = jinja2.Environment(loader=loader, autoescape=True).get_template("page.html")
    return page.render(
        suite=plan.suite.suite,
        profile=plan.suite.profile,
        data=plan.source.name,
        classes=plan.classes,
        run=records[0].run if records else "",
        main=main_grid(frame, metrics),
        notes=notes_of(frame, metrics),
        details=list(_details(frame)),
        published=[_claim(frame, claim) for claim in plan.suite.published],
        environment=environment.to_dict(),
        plan=json.dumps(resolved(plan), indent=2, default=str),
    )


def main_grid(frame: pd.DataFrame, metrics: list[str]) -> Grid:
    """One row per detector, as the terminal shows it."""
    return _grid("Results", "detector", columns_of(frame, metrics), wide(frame, metrics))


def _details(frame: pd.DataFrame) -> Iterable[Grid]:
    for title, metrics in (("AP by object size", SIZE_METRICS), ("Latency", LATENCY_METRICS)):
        present = [m for m in metrics if m in set(frame["metric"])]
        if present:
            yield _grid(title, "detector", columns_of(frame, present), wide(frame, present))
    for metric, prefix, title in (
        ("macs_paper", "role/", "Multiply-adds by role"),
        ("parameters", "role/", "Parameters by role"),
        ("ap", "class/", "AP by class"),
    ):
        grid = _by_scope(frame, metric, prefix, title)
        if grid is not None:
            yield grid


def _by_scope(frame: pd.DataFrame, metric: str, prefix: str, title: str) -> Grid | None:
    rows = frame[(frame["metric"] == metric) & frame["scope"].str.startswith(prefix)]
    if rows.empty:
        return None
    table = rows.pivot_table(
        index="scope", columns="detector", values="value", aggfunc="mean", sort=False, dropna=False
    )
    table = table.rename(index=lambda scope: scope.removeprefix(prefix))
    base = columns_of(frame, [metric])[0]
    columns = [
        Column(str(name), str(name), base.unit, base.scale, base.digits, None)
        for name in table.columns
    ]
    return _grid(title, prefix.rstrip("/"), columns, table)


def _grid(title: str, corner: str, columns: list[Column], values: pd.DataFrame) -> Grid:
    def best(column: Column) -> float:
        if column.higher_is_better is None or values[column.metric].count() < 2:
            return math.nan
        series = values[column.metric]
        return float(series.max() if column.higher_is_better else series.min())

    bests = {column.metric: best(column) for column in columns}
    rows = [
        (str(name), [(c.show(row[c.metric]), row[c.metric] == bests[c.metric]) for c in columns])
        for name, row in values.iterrows()
    ]
    return Grid(title, corner, columns, rows)


def _claim(frame: pd.DataFrame, claim: Any) -> dict[str, str]:
    """A published figure as published, beside nothing that was measured here."""
    is_ap = claim.unit == "AP"
    value = f"{claim.value * 100:.1f} %" if is_ap else f"{claim.value:g} {claim.unit}"
    title = TITLES.get(claim.metric, claim.metric)
    return {
        "detector": claim.detector,
        "metric": title,
        "value": value,
        "split": claim.split,
        "source": claim.source + (f" ({claim.note})" if claim.note else ""),
    }
