"""How a number is shown: title, unit and digits, the same in the terminal and on the page."""

import json
import math
from dataclasses import dataclass

import pandas as pd

from harness.plan.cells import name_stage

TITLES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP-small",
    "ap_medium": "AP-medium",
    "ap_large": "AP-large",
    **{f"ar_{n}": f"AR@{n}" for n in (1, 10, 100)},
    "macs_paper": "mult-adds",
    "macs_fvcore": "mult-adds (fvcore)",
    "parameters": "parameters",
    "activations": "activations",
    "latency_peak_memory": "peak memory",
    "mode_agreement": "agreement",
    "mode_setup_seconds": "set-up",
    "mode_compile_seconds": "compiling",
    "ap_check": "AP of the check",
    "latency_end_to_end_p50": "latency",
    "latency_end_to_end_p90": "latency p90",
    "latency_end_to_end_p99": "latency p99",
    **{f"latency_network_{p}": f"network {p}" for p in ("p50", "p90", "p99")},
    **{f"latency_postprocessed_{p}": f"network + NMS {p}" for p in ("p50", "p90", "p99")},
}

DIGITS = {"AP": 1, "M": 2, "ms": 1, "MMACs": 1}  # by unit, of others 2

CONDITIONS = {
    "ap": "AP: COCO's, by {evaluator}, at most {max_detections} detections per image, {images} "
    "images, in {precision} with TF32 off; size bins by {area} area",
    "macs_paper": "mult-adds: one each, for one image, the TinyDet paper's counter; rivals that "
    "publish FLOPs often mean twice this",
    "latency_end_to_end_p50": "latency: median from decoded image to detections, batch "
    "{batch_size}, {device}, {threads} threads, {precision}, {mode}, ops {ops}",
}


@dataclass(frozen=True)
class Column:
    """A metric as a column.

    Attributes:
        scale: AP is kept as 0..1 and shown as 0..100, as papers do.
    """

    metric: str
    title: str
    unit: str
    scale: float
    digits: int
    higher_is_better: bool | None

    def show(self, value: float) -> str:
        return "–" if math.isnan(value) else f"{value * self.scale:,.{self.digits}f}"


def columns_of(frame: pd.DataFrame, metrics: list[str]) -> list[Column]:
    """Columns for `metrics`, with units as recorded."""
    return [_column(frame, metric) for metric in metrics]


def _column(frame: pd.DataFrame, metric: str) -> Column:
    rows = frame[(frame["metric"] == metric) & (frame["scope"] == "")]
    unit = str(rows["unit"].iloc[0]) if len(rows) else ""
    better = rows["higher_is_better"].iloc[0] if len(rows) else None
    return make_column(metric, unit, None if better is None or pd.isna(better) else bool(better))


def make_column(metric: str, unit: str, higher_is_better: bool | None) -> Column:
    """A metric with the title, scale and digits that it has everywhere.

    Args:
        unit: as recorded.
    """
    is_ap = unit == "AP"
    return Column(
        metric,
        title_of(metric),
        "%" if is_ap else unit,
        100.0 if is_ap else 1.0,
        DIGITS.get(unit, 2),
        higher_is_better,
    )


def title_of(metric: str) -> str:
    """What a metric is called: "AP-tiny" for "ap_tiny", an area range of a manifest."""
    if metric not in TITLES and metric.startswith("ap_"):
        return f"AP-{metric.removeprefix('ap_')}"
    return TITLES.get(metric, metric.replace("_", " "))


def notes_of(frame: pd.DataFrame, metrics: list[str]) -> list[str]:
    """What a reader must know: failures, then warnings of the shown numbers, each once."""
    return [*failures_of(frame), *warnings_of(frame, metrics)]


def failures_of(frame: pd.DataFrame) -> list[str]:
    """How cells failed, a line each."""
    failed = frame[frame["status"] != "ok"]
    return [
        f"{r.detector} seed {r.seed}: {name_stage(str(r.stage), str(r.mode))} {r.status}: {r.error}"
        for r in failed.itertuples()
    ]


def warnings_of(frame: pd.DataFrame, metrics: list[str]) -> list[str]:
    """Warnings of these metrics, each once with all that it is of; modes have their own section."""
    chosen = frame["metric"].isin(metrics) & ~frame["scope"].str.startswith("mode/")
    shown = frame[chosen & (frame["warnings"] != "")]
    notes = []
    for warning, rows in shown.groupby("warnings", sort=False):
        who = ", ".join(dict.fromkeys(rows["detector"]))
        what = ", ".join(dict.fromkeys(title_of(m) for m in rows["metric"]))
        notes.append(f"{what} of {who}: {warning}")
    return notes


def conditions_of(frame: pd.DataFrame) -> list[str]:
    """On what terms the shown numbers hold, each once."""
    lines = []
    for metric, template in CONDITIONS.items():
        rows = frame[(frame["metric"] == metric) & (frame["scope"] == "")]
        found = [template.format_map(_Known(json.loads(text))) for text in rows["conditions"]]
        lines += list(dict.fromkeys(found))
    return lines


class _Known(dict[str, object]):
    """A condition that a record does not have is shown as unknown."""

    def __missing__(self, key: str) -> str:
        return f"unknown {key}"
