"""The tables of `harness data`: what detectors can hope for on a data set."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from rich.text import Text

from harness.report.format import DASH, NBSP, number
from harness.report.terminal import Grid, Head
from harness.results.objects import (
    COVERED_IOU,
    DataCounts,
    Floats,
    Prospects,
    SizeRow,
    share_sizes,
    tabulate,
)

BAR = 6  # characters of the longest bar
COLUMNS = (
    "detector", "input", "low", "high", "count", "share", "covered", "positive_iou", "positive",
    "best_iou", "cells_finest", "cells_best",
)  # fmt: skip
NOTES = (
    "size: sqrt(area) at the network's input; small below 32, large from 96, crowds left out",
    "covered: share of objects that some anchor overlaps with IoU >= 0.5",
    "positive: the same with the IoU from which the detector's own training takes an anchor",
    "IoU: of the best anchor, median; cells: area of an object in cells of the finest map that has "
    "anchors, and of the map of its best anchor, medians",
)


@dataclass(frozen=True)
class Prospect:
    """A detector with what it meets.

    Attributes:
        input: size of the network's input in words.
    """

    detector: str
    input: str
    found: Prospects


def data_table(name: str, split: str, counts: DataCounts) -> Grid:
    """The split as a whole."""
    grid = Grid(["", ""], f"{name}, {split}")
    mean, median, most = counts.boxes_per_image
    rows = {
        "images": f"{counts.images:,}" + _without_boxes(counts.empty_images),
        "boxes": f"{counts.boxes:,}, and {counts.crowds:,} crowds",
        "classes": f"{counts.classes:,}" + _without_boxes(counts.empty_classes),
        "boxes per image": f"{mean:.1f} on average, median {median:g}, at most {most:,}",
    }
    for key, value in rows.items():
        grid.add(Text(key, "dim"), value)
    return grid


def overview_table(originals: Floats, prospects: Sequence[Prospect]) -> Grid:
    """A row for each detector, after one for the images at their own size."""
    sizes = Head("small / medium / large", "%")
    title = "Objects at each detector's input, and what its anchors make of them"
    grid = Grid(["detector", sizes, *_heads("own")], title)
    grid.add(f"as{NBSP}annotated", _shares(originals), style="dim")
    for one in prospects:
        (whole,) = tabulate(one.found, [])[-1:]
        grid.add(one.detector, _shares(one.found.sizes), *_cells(whole))
    return grid


def sizes_table(one: Prospect, edges: Sequence[float]) -> Grid:
    """A row for each bin of sizes of one detector."""
    rows = tabulate(one.found, edges)
    limit = one.found.positive_iou
    heads = [Head("size", "px"), Head("objects"), Head("share", "%"), Head("", right=False)]
    own = "" if limit is None else f"IoU {limit:g}"
    grid = Grid([*heads, *_heads(own)], f"{one.detector}, input {one.input}")
    *bins, whole = rows
    most = max((row.share for row in bins), default=math.nan)
    for row in bins:
        shown = (_range(row), f"{row.count:,}", _percent(row.share), bar(row.share, most))
        grid.add(*shown, *_cells(row))
    grid.add("all", f"{whole.count:,}", _percent(whole.share), "", *_cells(whole), style="bold")
    return grid


def bar(share: float, most: float) -> str:
    """A bar in eighths of a character; something is seen of everything that is not 0."""
    if not share > 0:
        return ""
    eighths = max(1, round(8 * BAR * share / most))
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def prospects_frame(
    originals: Floats, prospects: Sequence[Prospect], edges: Sequence[float]
) -> pd.DataFrame:
    """Every row of every detector, and the sizes in the images as annotated.

    Shares are 0..1; NaN where something is not known.
    """
    unknown = np.full(len(originals), np.nan)
    nothing = Prospects(originals, unknown, unknown, unknown, None)
    rows = [
        {
            "detector": one.detector, "input": one.input, **asdict(row),
            "positive_iou": one.found.positive_iou,
        }
        for one in (Prospect("", "original", nothing), *prospects)
        for row in tabulate(one.found, edges)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _heads(own: str) -> list[Head]:
    """Of what `_cells` shows.

    Args:
        own: the IoU from which the detector's training takes an anchor.
    """
    covered = Head("covered", f"IoU {COVERED_IOU:g}")
    return [covered, Head("positive", own), Head("IoU", "median"), Head("cells", "finest / best")]


def _cells(row: SizeRow) -> list[str]:
    return [_percent(row.covered), _percent(row.positive), number(row.best_iou, 2), _cells_of(row)]


def _shares(sizes: Floats) -> str:
    return " / ".join(map(_percent, share_sizes(sizes)))


def _percent(share: float) -> str:
    return number(100 * share)


def _cells_of(row: SizeRow) -> str:
    known = not math.isnan(row.cells_finest)
    return f"{_amount(row.cells_finest)} / {_amount(row.cells_best)}" if known else DASH


def _amount(value: float) -> str:
    """Cells: two digits where there are few."""
    return number(value, 2 if value < 1 else 1 if value < 10 else 0)


def _range(row: SizeRow) -> str:
    return f"{row.low:g}{NBSP}up" if math.isinf(row.high) else f"{row.low:g}–{row.high:g}"


def _without_boxes(count: int) -> str:
    return f", {count:,} of them without boxes" if count else ""
