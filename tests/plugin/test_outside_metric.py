"""The documented plugin: a metric, a section and a figure from one file outside the tree.

It gets what the shipped metrics get, in every command.
"""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from page_text import text_of
from tiny_suite import PLUGIN, harness, harness_here, make_coco, tiny, write_manifest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "metrics-and-pages.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of two detectors that were measured with the plugin, and the plugin's file."""
    folder = tmp_path_factory.mktemp("outside")
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    (folder / "found_share.py").write_text(code[1])
    manifest = write_manifest(
        folder / "m.yaml", make_coco(folder / "coco", images=8), [tiny("one"), tiny("two")]
    )
    text = manifest.read_text()
    text = text.replace("meters: [coco_ap,", "meters: [coco_ap, found_share,")
    manifest.write_text(text.replace("columns: [ap,", "columns: [ap, found_share,"))
    for name, seed in (("first", 0), ("second", 1)):
        done = harness_here(
            "run", "m.yaml", "-p", PLUGIN, "-p", "found_share.py", "--run-id", name, "--device",
            "cpu", "--seeds", seed, cwd=folder,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (folder / f"{name}.txt").write_text(done.stdout)
    return folder


def run_of(place: Path, name: str = "first") -> Path:
    return place / "results" / "tiny" / name


def page_of(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def test_it_has_a_column_with_title_unit_and_interval(place: Path) -> None:
    out = (place / "first.txt").read_text()
    assert re.search(r"\bfound\b", out)
    assert "found: objects with a detection of their class in the same image, 8 images" in out
    assert re.search(r"100\.0|\d\d\.\d", out)


def test_the_page_ranks_draws_and_words_it(place: Path) -> None:
    page = page_of(run_of(place))
    text = text_of(page)
    assert 'data-title="found (%)" data-better="higher"' in page
    assert "Finds most" in text
    assert "on 8 images only" in text, "its own check, in its own words"
    assert "found against cost" in text, "a figure per score"
    assert "What is found" in text
    assert re.search(r"The best detector finds \d+ %\.", text)
    assert "Share of objects found" in text
    assert page.index('id="results"') < page.index('id="found"') < page.index('id="figures"')
    assert "could not be made" not in text


def test_it_is_compared_gated_followed_and_exported(place: Path) -> None:
    first, second = run_of(place), run_of(place, "second")
    csv = place / "compared.csv"
    compared = harness_here(
        "compare", first, second, "--metrics", "found_share", "--gate", "found_share >= -100",
        "--csv", csv, cwd=place,
    )  # fmt: skip
    assert compared.returncode in (0, 4), compared.stderr
    assert "found" in compared.stdout
    rows = pd.read_csv(csv)
    assert set(rows["metric"]) == {"found_share"}
    assert set(rows["verdict"]) <= {"noise", "better", "worse", "equal", "unknown"}
    followed = harness_here("history", first.parent, "--metric", "found_share", cwd=place)
    assert followed.returncode == 0, followed.stderr
    assert "found %" in followed.stdout or "found" in followed.stdout
    exported = harness_here("export", first, "--to", place / "all.parquet", cwd=place)
    assert exported.returncode == 0, exported.stderr
    table = pd.read_parquet(place / "all.parquet")
    own = table[table["metric"] == "found_share"]
    assert len(own) == 2
    assert set(own["unit"]) == {"share"}


def test_it_can_be_read_where_the_plugin_is_not_installed(place: Path) -> None:
    """Title and interval come from the run; the check that is not there says so."""
    run = run_of(place)
    kept = json.loads((run / "plan.json").read_text())["metrics"]
    assert "found_share" in [spec["name"] for spec in kept["specs"]]
    bare = place / "bare.html"
    made = harness("report", run, "--out", bare, cwd=run)  # not where the plugin's file is
    assert made.returncode == 0, made.stderr
    text = text_of(bare.read_text(encoding="utf-8"))
    assert "Finds most" in text
    assert "a check of it could not be made (found_share:few_images: ModuleNotFoundError" in text
    assert "What is found" not in text
    whole = place / "whole.html"
    made = harness_here("report", run, "--out", whole, "-p", "found_share.py", cwd=place)
    assert made.returncode == 0, made.stderr
    assert "What is found" in text_of(whole.read_text(encoding="utf-8"))
