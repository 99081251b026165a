"""A comparison as table, Markdown and CSV."""

import csv
from pathlib import Path

import pytest
from making_sides import LATENCY, ap, exact, latency, side
from rich.console import Console

from harness.report.changes import units_line
from harness.report.comparison import print_comparison
from harness.report.comparison_files import HEADER, render_markdown, write_csv
from harness.results.comparison import Rules, compare_sides
from harness.results.types import Comparison

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
    assert [(r.detector, r.metric) for r in comparison.rows] == [
        ("small", "ap"),
        ("small", "macs_paper"),
        ("small", LATENCY),
        ("gone", "macs_paper"),
        ("a|b", "macs_paper"),
    ]
    verdicts = [r.changes[0].verdict for r in comparison.rows]
    assert verdicts == ["better", "equal", "refused", "missing", "missing"]
    assert [r.best for r in comparison.rows] == [(1,), (), (), (), ()]
    assert comparison.comparable


def test_a_refused_row_is_shown_with_its_reason_below(comparison: Comparison):
    lines = printed(comparison, 120)
    assert any("latency" in line and "✗ refused" in line for line in lines)
    assert any("✗ not measured alike: device: cpu against cuda" in line for line in lines)


@pytest.mark.parametrize(
    ("width", "shown"), [(120, "▲ +5.0 ["), (60, "▲ +5.0 ["), (50, "▲ +5.0 ±"), (45, "▲ +5.0 ")]
)
def test_what_a_narrow_terminal_cannot_hold_is_left_out(
    comparison: Comparison, width: int, shown: str
):
    lines = printed(comparison, width)
    assert any("35.0*" in line and shown in line for line in lines)
    table = [line for line in lines if "AP %" in line or "mult-adds" in line]
    assert all(len(line) <= width for line in table)


def test_many_sides_stand_below_each_other_where_it_is_narrow():
    sides = [side(f"a_long_name_{n}", d=[exact(1000.0 + n)]) for n in range(6)]
    lines = printed(compare_sides(sides), 60)
    assert sum("a_long_name_" in line for line in lines) == 6
    assert any("a_long_name_5" in line and "▼ +0.5 %" in line for line in lines)


def test_allowed_mismatches_stay_marked():
    sides = [side("a", d=[latency(10)]), side("b", d=[latency(20, device="cuda")])]
    lines = printed(compare_sides(sides, rules=Rules(allow_mismatch=True)), 120)
    assert any("▼ +100.0 % ≠" in line for line in lines)
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
    write_csv(tmp_path / "c.csv", comparison)
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HEADER
    assert [row["verdict"] for row in rows] == [r.changes[0].verdict for r in comparison.rows]
    assert float(rows[0]["difference"]) == pytest.approx(0.05)
    assert float(rows[0]["low"]) < 0.05 < float(rows[0]["high"])
    assert rows[2]["mismatches"] == "device: cpu against cuda"
    assert rows[3]["other_value"] == ""


def test_intervals_are_spoken_of_where_there_are_some(comparison: Comparison):
    assert "paired bootstrap" in units_line(comparison)
    unknown = compare_sides([side("a", d=[ap(0.3)]), side("b", d=[ap(0.4)])])
    assert units_line(unknown) == "changes: AP in points"
