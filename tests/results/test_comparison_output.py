"""A comparison as table, Markdown and CSV."""

import csv
import re
from pathlib import Path

import pytest
from making_sides import LATENCY, ap, exact, latency, side
from rich.console import Console

from harness.report.comparison_table import (
    HEADER,
    comparison_frame,
    print_comparison,
    render_markdown,
    units_line,
)
from harness.report.format import NBSP, change_interval
from harness.results.comparison import Comparison, Rules, compare_sides

VALUES = {"b|se": 0.30, "*other*": 0.35}


@pytest.fixture
def comparison() -> Comparison:
    base = side("base", small=[ap(0.30, 0.002), latency(10), exact(5)], gone=[exact(1)])
    small = [ap(0.35, 0.002, 1), latency(9, device="cuda"), exact(5)]
    other = side("other", small=small, **{"a|b": [exact(2)]})
    return compare_sides([base, other])


def printed(comparison: Comparison, width: int) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        print_comparison(comparison, console)
    return captured.get().splitlines()


def test_rows_are_grouped_by_detector_and_marked(comparison: Comparison):
    assert [(r.detector, r.metric.name) for r in comparison.rows] == [
        ("small", "ap"),
        ("small", LATENCY),
        ("small", "macs_paper"),
        ("gone", "macs_paper"),
        ("a|b", "macs_paper"),
    ]
    verdicts = [r.differences[0].verdict for r in comparison.rows]
    assert verdicts == ["better", "refused", "equal", "missing", "missing"]
    assert [r.best for r in comparison.rows] == [(1,), (), (), (), ()]
    assert comparison.comparable


def test_a_refused_row_is_shown_with_its_reason_below(comparison: Comparison):
    lines = printed(comparison, 120)
    assert any("latency" in line and "✗ refused" in line for line in lines)
    assert any("✗ not measured alike: device: cpu against cuda" in line for line in lines)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_one_layout_fits_every_terminal_and_cuts_nothing(comparison: Comparison, width: int):
    lines = printed(comparison, width)
    table = lines[: lines.index("")]
    assert "…" not in "".join(table)
    assert max(map(len, table)) <= width
    first = next(line for line in table if "AP %" in line)
    assert re.search(r"30\.0 +35\.0\* +▲ \+5\.0", first)
    bounds = change_interval(comparison.rows[0].metric, 0.30, comparison.rows[0].differences[0])
    assert bounds.replace(NBSP, " ") in "\n".join(table)  # in one piece, if on the next line


def test_long_names_of_sides_are_broken_and_not_cut():
    names = ["20261126-135215-a-run", "20261127-090000-another"]
    sides = [side(n, tinydet_s=[ap(0.3, 0.01, i), latency(10 + i)]) for i, n in enumerate(names)]
    lines = printed(compare_sides(sides), 40)
    table = lines[: lines.index("")]
    assert "…" not in "".join(table)
    assert max(map(len, table)) <= 40
    names_shown = [line.split() for line in table[:3]]
    assert [parts[:2] for parts in names_shown] == [
        ["20261126", "20261127"], ["-135215-", "-090000-"], ["a-run", "another"],
    ]  # fmt: skip
    assert any("[−2.8, +2.9]" in line for line in table)  # values stay whole


def test_more_than_two_sides_stand_below_each_other():
    sides = [side(f"a_long_name_{n}", d=[exact(1000.0 + n)]) for n in range(6)]
    for width in (40, 120):
        lines = printed(compare_sides(sides), width)
        assert sum("a_long_name_" in line for line in lines) == 6
        assert any("a_long_name_5" in line and "▼ +0.5 %" in line for line in lines)


def test_text_of_users_is_no_markup():
    sides = [side("[red]a[/red]", **{"[bold]x": [exact(v)]}) for v in (1.0, 2.0)]
    text = "\n".join(printed(compare_sides(sides), 120))
    assert "[red]a[/red]" in text
    assert "[bold]x" in text


def test_allowed_mismatches_stay_marked():
    sides = [side("a", d=[latency(10)]), side("b", d=[latency(20, device="cuda")])]
    lines = printed(compare_sides(sides, rules=Rules(allow_mismatch=True)), 120)
    assert any("▼ +100.0 %≠" in line for line in lines)
    assert any("≠ not measured alike: device" in line for line in lines)


def test_nothing_in_common_is_not_comparable():
    sides = [side("a", d=[exact(1)]), side("b", e=[exact(1)])]
    assert not compare_sides(sides).comparable


def test_markdown_is_one_table_whatever_the_names_are():
    sides = [side(n, **{"a|b": [ap(v, 0.002, i)]}) for i, (n, v) in enumerate(VALUES.items())]
    lines = render_markdown(compare_sides(sides)).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 3
    bars = {line.replace("\\|", "").count("|") for line in table}
    assert bars == {7}
    assert any("**35.0**" in line for line in table)


def test_the_csv_keeps_values_as_recorded(comparison: Comparison, tmp_path: Path):
    comparison_frame(comparison).to_csv(tmp_path / "c.csv", index=False)
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HEADER
    assert [row["verdict"] for row in rows] == [r.differences[0].verdict for r in comparison.rows]
    assert float(rows[0]["difference"]) == pytest.approx(0.05)
    assert float(rows[0]["low"]) < 0.05 < float(rows[0]["high"])
    assert rows[1]["mismatches"] == "device: cpu against cuda"
    assert rows[3]["other_value"] == ""


def test_intervals_are_spoken_of_where_there_are_some(comparison: Comparison):
    assert "paired bootstrap" in units_line(comparison)
    unknown = compare_sides([side("a", d=[ap(0.3)]), side("b", d=[ap(0.4)])])
    assert units_line(unknown) == "changes: scores in points"
