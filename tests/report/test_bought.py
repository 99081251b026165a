"""The section on what one change is worth: its rows, and what it says where there are none."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from making_runs import make_run
from page_text import text_of

from harness.report.sections import bought

NAMES = {"small": 0.30, "wide": 0.34, "deep": 0.31, "both": 0.33, "tall": 0.29, "large": 0.32}


def parts(**backbone: Any) -> dict[str, Any]:
    return {"parts": {"backbone": {"use": "net", "params": backbone, "plugin": ["p", "1"]}}}


def page_of(folder: Path, **detectors: dict[str, Any]) -> str:
    names = {name: NAMES[name] for name in detectors}
    run = make_run(folder / "made", detectors=names, detectors_of_plan=detectors)
    return str(bought.build(run))


def rows_of(page: str, table: str) -> list[str]:
    body = page[page.index(f'class="{table}"') :].partition("</table>")[0]
    return [text_of(row) for row in re.findall(r"<tr\b.*?</tr>", body, re.S)][1:]


def test_a_row_for_each_pair_that_differs_in_one_thing(tmp_path: Path) -> None:
    page = page_of(
        tmp_path, small=parts(width=1, depth=2), wide=parts(width=2, depth=2),
        deep=parts(width=2, depth=3),
    )  # fmt: skip
    first, second = rows_of(page, "numbers bought")
    assert re.match(r"backbone width: 1 → becomes 2 wide instead of small ▲ \+4\.0", first)
    assert re.match(r"backbone depth: 2 → becomes 3 deep instead of wide ▼ −3\.0", second)
    assert "significantly better" in first
    # MACs of 480, 960 and 1440 million, in percent of the base's
    assert first.count("+100.0 %") == second.count("+50.0 %") == 3
    assert re.search(r"\[\+\d\.\d, \+\d\.\d\]", first)
    assert rows_of(page, "words differing") == ["backbone width 1 2 2", "backbone depth 2 2 3"]


def test_a_change_in_several_pairs_has_its_mean_before_them(tmp_path: Path) -> None:
    page = page_of(
        tmp_path, small=parts(width=1, depth=2), wide=parts(width=2, depth=2),
        deep=parts(width=1, depth=3), both=parts(width=2, depth=3),
    )  # fmt: skip
    rows = rows_of(page, "numbers bought")
    assert len(rows) == 6
    assert re.match(r"backbone width: 1 → becomes 2 mean of 2 pairs ▲ \+3\.0", rows[0])
    assert re.match(r"wide instead of small ▲ \+4\.0", rows[1])
    assert re.match(r"both instead of deep ▲ \+2\.0", rows[2])
    assert re.match(r"backbone depth: 2 → becomes 3 mean of 2 pairs \D*0\.0", rows[3])
    assert "significantly better" in rows[0]
    assert "not significantly different" in rows[3]
    # MACs double in one pair, and become 4/3 of the base's in the other
    assert "+63.3 %" in rows[0]
    assert "main effect" in page


def test_a_mean_of_fewer_pairs_says_of_how_many(tmp_path: Path) -> None:
    sizes = {"small": (1, 2), "wide": (2, 2), "deep": (1, 3), "both": (2, 3),
             "tall": (1, 4), "large": (2, 4)}  # fmt: skip
    run = make_run(
        tmp_path / "made",
        detectors={name: NAMES[name] for name in sizes},
        detectors_of_plan={name: parts(width=w, depth=d) for name, (w, d) in sizes.items()},
    )
    uncounted = [r for r in run.records if (r.detector, r.metric) != ("tall", "parameters")]
    page = str(bought.build(replace(run, records=tuple(uncounted))))
    [row] = [row for row in rows_of(page, "numbers bought") if "mean of 3 pairs" in row]
    assert row.startswith("backbone width")
    assert row.count("of 2 pairs") == 1
    assert row.endswith("of 2 pairs")  # parameters are the last column


def test_without_such_a_pair_it_says_how_to_get_one(tmp_path: Path) -> None:
    page = page_of(
        tmp_path, small=parts(width=1, depth=2), wide=parts(width=2, depth=3),
        deep=parts(width=3, depth=4),
    )  # fmt: skip
    assert "harness ablate" in page
    assert 'class="numbers bought"' not in page
    assert len(rows_of(page, "words differing")) == 2


@pytest.mark.parametrize("names", [["small"], []])
def test_one_detector_has_nothing_to_be_compared_with(tmp_path: Path, names: list[str]) -> None:
    file = {"detections": "x.json", "parts": {}}
    detectors = {
        name: parts(width=1) if name in names else file for name in ("small", "wide", "deep")
    }
    assert page_of(tmp_path, **detectors) == "None"
