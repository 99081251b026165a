"""What every figure of the page is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """The numbers of a figure for those who cannot see it; every cell as it is shown."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Attributes:
        name: id within the page: letters, digits, hyphens.
        title: what is shown.
        note: one or two sentences: how to read it, what the bars and bands are.
        plot: {"data": [...], "layout": {...}} as plotly takes it, without colours of text and
            paper, which follow the page's theme.
    """

    name: str
    title: str
    note: str
    plot: Mapping[str, Any]
    table: Table
