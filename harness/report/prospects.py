"""The tables of `harness data`: what detectors can hope for on a data set."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from harness.files import write_text
from harness.results.objects import (
    COVERED_IOU,
    DataCounts,
    Floats,
    Prospects,
    SizeRow,
    share_sizes,
    tabulate,
)

BAR = 12  # characters of the longest bar
COLUMNS = (
    "detector", "input", "low", "high", "count", "share", "covered", "positive_iou", "positive",
    "best_iou", "cells_finest", "cells_best",
)  # fmt: skip
COVERED = f"IoU {COVERED_IOU:g}"
MEDIANS = (("IoU", "median"), ("cells", "finest"), ("cells", "best"))
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


def data_table(name: str, split: str, counts: DataCounts) -> Table:
    """The split as a whole, two columns without a heading."""
    table = Table(
        title=f"{name}, {split}", title_justify="left", title_style="bold", show_header=False,
        box=None,
    )  # fmt: skip
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    mean, median, most = counts.boxes_per_image
    rows = {
        "images": f"{counts.images:,}" + _without(counts.empty_images, "boxes"),
        "boxes": f"{counts.boxes:,}, and {counts.crowds:,} crowds",
        "classes": f"{counts.classes:,}" + _without(counts.empty_classes, "boxes"),
        "boxes per image": f"{mean:.1f} on average, median {median:g}, at most {most:,}",
    }
    for key, value in rows.items():
        table.add_row(key, value)
    return table


def overview_table(originals: Floats, prospects: Sequence[Prospect]) -> Table:
    """A row for each detector, after one for the images at their own size."""
    table = _table("What each detector meets: % of the objects, then medians")
    table.add_column("detector", no_wrap=True, vertical="bottom")
    sizes = [(name, "") for name in ("small", "medium", "large")]
    headings = [*sizes, ("covered", COVERED), ("positive", "own"), *MEDIANS]
    _add_numbers(table, headings)
    table.add_row("as annotated", *_percents(share_sizes(originals)), style="dim")
    for one in prospects:
        (whole,) = tabulate(one.found, [])[-1:]
        shares = share_sizes(one.found.sizes)
        table.add_row(one.detector, *_percents(shares), *_cells(whole))
    return table


def sizes_table(one: Prospect, edges: Sequence[float]) -> Table:
    """A row for each bin of sizes of one detector."""
    rows = tabulate(one.found, edges)
    table = _table(f"{one.detector}, input {one.input}")
    table.add_column("size", justify="right", no_wrap=True, vertical="bottom")
    table.add_column("objects", justify="right", no_wrap=True, vertical="bottom")
    table.add_column("%", justify="right", no_wrap=True, vertical="bottom")
    table.add_column("", no_wrap=True, width=BAR)
    limit = one.found.positive_iou
    own = "" if limit is None else f"IoU {limit:g}"
    headings = [("covered", COVERED), ("positive", own), *MEDIANS]
    _add_numbers(table, headings)
    most = max((row.share for row in rows[:-1]), default=math.nan)
    for row in rows:
        whole = row is rows[-1]
        table.add_row(
            "all" if whole else _range(row),
            f"{row.count:,}",
            _percent(row.share),
            "" if whole else bar(row.share, most),
            *_cells(row),
            style="bold" if whole else "",
        )
    return table


def bar(share: float, most: float, width: int = BAR) -> str:
    """A bar in eighths of a character; something is seen of everything that is not 0."""
    if not share > 0:
        return ""
    eighths = max(1, round(8 * width * share / most))
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def write_prospects(
    path: Path, originals: Floats, prospects: Sequence[Prospect], edges: Sequence[float]
) -> None:
    """Every row of every detector, and the sizes in the images as annotated, as CSV.

    Shares are 0..1; what is not known is an empty field.

    Raises:
        UserError: the file cannot be written.
    """
    unknown = np.full(len(originals), np.nan)
    nothing = Prospects(originals, unknown, unknown, unknown, None)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in (Prospect("", "original", nothing), *prospects):
        named = {"detector": one.detector, "input": one.input}
        limit = math.nan if one.found.positive_iou is None else one.found.positive_iou
        for row in tabulate(one.found, edges):
            writer.writerow(_filled({**named, **asdict(row), "positive_iou": limit}))
    write_text(path, text.getvalue())


def _filled(row: Mapping[str, object]) -> dict[str, object]:
    return {key: "" if value != value else value for key, value in row.items()}


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", header_style="", box=SIMPLE_HEAD,
        padding=0,
    )  # fmt: skip


def _add_numbers(table: Table, headings: Sequence[tuple[str, str]]) -> None:
    for title, unit in headings:
        heading = Text.assemble((title, "bold"), "\n", (unit, "dim"))
        table.add_column(heading, justify="right", no_wrap=True)


def _cells(row: SizeRow) -> list[str]:
    return [
        _percent(row.covered),
        _percent(row.positive),
        "–" if math.isnan(row.best_iou) else f"{row.best_iou:.2f}",
        _amount(row.cells_finest),
        _amount(row.cells_best),
    ]


def _percents(shares: Sequence[float]) -> list[str]:
    return [_percent(share) for share in shares]


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.1f}"


def _amount(value: float) -> str:
    """Cells: two digits where there are few."""
    return "–" if math.isnan(value) else f"{value:,.{2 if value < 1 else 1 if value < 10 else 0}f}"


def _range(row: SizeRow) -> str:
    return f"{row.low:g} up" if math.isinf(row.high) else f"{row.low:g}–{row.high:g}"


def _without(count: int, what: str) -> str:
    return f", {count:,} of them without {what}" if count else ""
