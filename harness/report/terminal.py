"""The tables and lines of every command: one look, at every width.

Cells wrap at spaces, and what is held together by a NO-BREAK SPACE stays together, so that one
layout serves narrow and wide terminals. Where even that does not fit, columns move closer, then
names are broken behind a hyphen or an underscore, and at last the longest words anywhere; nothing
is ever cut off.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from harness.plugin.metrics import MetricSpec
from harness.report.format import BEST, DASH, NBSP, amount, change_in_words, level_mark

if TYPE_CHECKING:
    from harness.results.difference import Difference, Verdict
    from harness.results.estimate import Estimate

KEPT = "\ue000"  # stands for NBSP, at which rich breaks lines, while a table is laid out
BREAK = "\x1f"  # of no width, but a space to rich
WITHIN = re.compile(r"(?<=\w[-_])(?=\w)")
UNBOUNDED = 10_000  # columns of a console on which nothing wraps
LINED = 3  # characters between columns with a line
EDGES = 4  # of both outer lines
BEST_STYLE = "bold green"
STYLES: "Mapping[Verdict, str]" = {
    "better": "green",
    "worse": "red",
    "changed": "yellow",
    "equal": "dim",
    "noise": "bright_black",
    "unknown": "",
    "refused": "magenta",
    "invalid": "magenta",
    "missing": "dim",
}


@dataclass(frozen=True)
class Value:
    """A number whose digits stand below those of its column, whichever of them have marks."""

    number: Text
    marks: Text
    behind: Text

    def padded(self, width: int) -> Text:
        """With its marks in so many characters."""
        return Text.assemble(self.number, self.marks, NBSP * (width - len(self.marks)), self.behind)


Cell = str | Text | Value


@dataclass(frozen=True)
class Head:
    """The head of a column, of two lines.

    Attributes:
        unit: in dim letters below the title.
        right: whether its cells stand on the right, as numbers do.
    """

    title: str
    unit: str = ""
    right: bool = True

    @classmethod
    def of(cls, spec: MetricSpec) -> "Head":
        return cls(spec.title, spec.shown_unit)


@dataclass
class Grid:
    """A table whose cells are text as it is, never markup.

    Attributes:
        heads: a string is that of words, on the left; where all are empty, none are shown.
        title: a line above.
        lines: between columns, where cells in the middle are empty and the eye needs a guide.
    """

    heads: Sequence[Head | str]
    title: str = ""
    lines: bool = False
    groups: list[tuple[str | Text, list[tuple[Sequence[Cell], str]]]] = field(
        default_factory=lambda: [("", [])]
    )

    def group(self, heading: str | Text) -> None:
        """Rows to come stand under a heading as wide as the table."""
        self.groups.append((heading, []))

    def add(self, *cells: Cell, style: str = "") -> None:
        """A row; cells at its end that are not given are empty."""
        self.groups[-1][1].append((cells, style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        heads = [head if isinstance(head, Head) else Head(head, right=False) for head in self.heads]
        has_heads = any(head.title or head.unit for head in heads)
        above = _above(heads) if has_heads else [Text()] * len(heads)
        rows = [cells for _, own in self.groups for cells, _ in own]
        columns = [_aligned([row[i] for row in rows if i < len(row)]) for i in range(len(heads))]
        left = [iter(column) for column in columns]
        widths, gap = _fit(console, above, columns, options.max_width, self.lines)
        if self.title:
            yield Text(self.title, style="bold")
        for number, (heading, own) in enumerate(self.groups):
            table = _table(heads, above, widths, gap, has_heads and not number)
            if heading:
                yield from (Text(), _bold(heading)) if number > 1 else (_bold(heading),)
            for cells, style in own:
                table.add_row(*(next(left[i]) for i in range(len(cells))), style=style)
            if own or not number:
                yield from _spaced(console.render(table, options))


def value_cell(
    estimate: "Estimate | None", *, best: bool = False, star: bool = False, behind: str = ""
) -> Value:
    """A value with its marks.

    Args:
        best: of its kind, and so green.
        star: mark the best with a star as well, for those who see no colour.
        behind: what follows it, such as its interval.
    """
    if estimate is None or not estimate.is_there:
        return Value(Text(DASH, style="dim"), Text(), Text())
    style = BEST_STYLE * best
    return Value(
        Text(amount(estimate.metric, estimate.value), style),
        Text.assemble((BEST * (best and star), style), (level_mark(estimate), "yellow")),
        Text(f" {behind}".rstrip(), "dim"),
    )


def change_cell(spec: MetricSpec, base: float, found: "Difference") -> Text:
    """`change_in_words` in the colour of its verdict."""
    return Text(change_in_words(spec, base, found), style=STYLES[found.verdict])


def say(console: Console, lines: Iterable[object], style: str = "") -> None:
    """Lines of text: wrapped for people, whole for programs; empty ones are left out."""
    for line in filter(None, map(str, lines)):
        console.print(Text(line, style=style), soft_wrap=not console.is_terminal)


def note(line: str) -> None:
    """A line for people beside what a command prints."""
    print(f"harness: note: {line}", file=sys.stderr)


def _above(heads: Sequence[Head]) -> list[Text]:
    """Titles over units; one line where there are no units."""
    below = any(head.unit for head in heads)
    return [
        _kept(Text.assemble((head.title, "bold"), ("\n" * below), (head.unit, "dim")))
        for head in heads
    ]


def _table(
    heads: Sequence[Head], above: Sequence[Text], widths: Sequence[int], gap: int, has_heads: bool
) -> Table:
    lines = gap == LINED
    table = Table(
        box=ROUNDED if lines else SIMPLE_HEAD, show_edge=lines, pad_edge=lines,
        show_header=has_heads, header_style="", padding=(0, 1) if lines else (0, gap - 1, 0, 0),
    )  # fmt: skip
    for head, title, width in zip(heads, above, widths, strict=True):
        justify = "right" if head.right else "left"
        table.add_column(title, justify=justify, width=width, overflow="fold")  # type: ignore[arg-type]
    return table


def _shown(text: str) -> str:
    return text.replace(KEPT, " ").replace(BREAK, "")


def _spaced(segments: Iterable[Segment]) -> Iterator[Segment]:
    for segment in segments:
        yield Segment(_shown(segment.text), segment.style, segment.control)


def _aligned(column: Sequence[Cell]) -> list[Text]:
    """Cells of one column as text."""
    width = max((len(cell.marks) for cell in column if isinstance(cell, Value)), default=0)
    return [_kept(cell.padded(width) if isinstance(cell, Value) else cell) for cell in column]


def _bold(heading: str | Text) -> Text:
    text = Text(heading) if isinstance(heading, str) else heading.copy()
    text.stylize_before("bold")
    return text


def _kept(cell: str | Text) -> Text:
    if isinstance(cell, str):
        # a name alone: in a sentence its whole next word rather goes to the next line
        cell = Text(cell if " " in cell else WITHIN.sub(BREAK, cell))
    text = cell.copy()
    text.plain = text.plain.replace(NBSP, KEPT)
    return text


def _fit(
    console: Console,
    heads: Sequence[Text],
    columns: Sequence[Sequence[Text]],
    room: int,
    lines: bool,
) -> tuple[list[int], int]:
    """Widths of columns, and of the gap between them.

    Lines are drawn where there is room for them. The widest columns shrink first: to their longest
    word, then to that of their cells, so that words of heads are broken, then to the longest part
    of a name, and at last words of cells are broken.
    """
    of_heads, of_cells = (
        [_measure(console, [h]) for h in heads],
        [_measure(console, map(_whole, c)) for c in columns],
    )
    parts = [_measure(console, c)[0] for c in columns]
    cells = [word for word, _ in of_cells]
    words = [max(word, other) for word, (other, _) in zip(cells, of_heads, strict=True)]
    widths = [max(line, other) for (_, line), (_, other) in zip(of_cells, of_heads, strict=True)]
    gaps = len(heads) - 1
    if lines and sum(words) + LINED * gaps <= room - EDGES:
        gap, room = LINED, room - EDGES
    else:
        gap = 2 if sum(words) + 2 * gaps <= room else 1
    for floors in (words, cells, parts, [1] * len(cells)):
        cap = max(widths, default=0)
        while cap > 1 and sum(_capped(widths, cap, floors)) > room - gap * gaps:
            cap -= 1
        widths = _capped(widths, cap, floors)
    return widths, gap


def _whole(cell: Text) -> Text:
    return Text(cell.plain.replace(BREAK, ""))


def _measure(console: Console, cells: Iterable[Text]) -> tuple[int, int]:
    """The longest word and the longest line of some cells."""
    wide = console.options.update(width=UNBOUNDED)
    found = [Measurement.get(console, wide, cell) for cell in cells]
    return max((m.minimum for m in found), default=0), max((m.maximum for m in found), default=0)


def _capped(widths: Sequence[int], cap: int, floors: Sequence[int]) -> list[int]:
    """None wider than the cap, but for those whose floor is."""
    return [max(1, min(w, max(cap, floor))) for w, floor in zip(widths, floors, strict=True)]
