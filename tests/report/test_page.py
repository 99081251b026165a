"""The page as text: whole, safe, and honest about what is missing."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_runs import make_run
from page_text import text_of
from quick_page import quick_page

from harness.plugin.declarations import Section
from harness.report.page import render_page, write_page
from harness.report.sections import provenance
from harness.report.sections import run as run_section
from harness.report.sections.answer import unequal_training
from harness.report.templating import embed_json
from harness.results.run import Run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
NOW = datetime(2026, 1, 31, 18, 5, tzinfo=UTC)
MOST_BYTES = 6_000_000


def test_page_is_whole_and_asks_nobody(made: Run, tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", made)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < MOST_BYTES
    markup = re.sub(r"<script\b.*?</script>", "", page, flags=re.S)
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:)?//""", markup)
    assert "@import" not in markup
    assert not re.search(r"url\(\s*['\"]?(?!data:|#)", markup)


def test_files_of_detections_are_told_with_the_hashes_of_what_was_scored(made: Run) -> None:
    files = {"tinydet_m": {"detections": "m.json"}, "later": {"detections": "l.json"}}
    plan = {**made.plan, "detectors": {**made.plan["detectors"], **files}}
    scored = replace(
        made,
        plan=plan,
        records=tuple(
            replace(r, weights=f"feed{r.seed}") if r.detector == "tinydet_m" else r
            for r in made.records
        ),
    )
    hashes, _, _ = text_of(str(provenance.build(scored))).partition("The resolved plan")
    assert re.findall(r"detections of (\w+) (feed0, feed1|not scored yet)", hashes) == [
        ("tinydet_m", "feed0, feed1"), ("later", "not scored yet")
    ]  # fmt: skip
    assert hashes.count("detections of") == 2
    told = text_of(str(run_section.build(scored)))
    assert "detections of tinydet_m m.json" in told
    assert "detections of later l.json" in told
    assert told.count("detections of") == 2


@pytest.mark.slow
def test_same_run_gives_the_same_page(made: Run) -> None:
    page = render_page(made, NOW)
    assert page == render_page(made, NOW)
    assert "2026-01-31 18:05 UTC" in page


def test_every_section_is_named_in_the_contents(made_page: Path) -> None:
    page = made_page.read_text()
    linked = set(re.findall(r'<li><a href="#([a-z]+)">', page))
    assert linked == set(re.findall(r'<section id="([a-z]+)"', page))
    assert {"answer", "run", "results", "pairs", "figures", "claims", "notes", "provenance"} <= (
        linked
    )


def test_main_table_shows_value_interval_and_spread(made_page: Path) -> None:
    page = made_page.read_text()
    row = re.search(r'<tr>\s*<th scope="row" data-sort="tinydet_l".*?</tr>', page, re.S)
    assert row is not None
    cell = re.search(r'<td class="[^"]*best[^"]*".*?</td>', row[0], re.S)
    assert cell is not None
    # 0.345 and 0.349: mean 0.347, standard deviation 0.0028
    assert re.search(r"34\.7 .*\[3\d\.\d, 3\d\.\d\] ± 0\.3", text_of(cell[0]))


def test_arrows_say_which_way_is_better(made: Run, made_page: Path) -> None:
    page = made_page.read_text()
    heads = re.findall(r'data-better="(higher|lower)">.*?aria-hidden="true">(.)<', page)
    assert set(heads) == {("higher", "↑"), ("lower", "↓")}
    assert len(heads) >= len(made.columns)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    claim = {
        "detector": "tinydet_s",
        "metric": "ap",
        "value": 0.2,
        "unit": "AP",
        "split": HOSTILE,
        "source": HOSTILE,
    }
    run = make_run(
        tmp_path / "hostile",
        classes=("fine", HOSTILE),
        published=[claim],
        suite=HOSTILE,
        profile=HOSTILE,
    )
    environments = {HOSTILE: {"command": HOSTILE, "os": HOSTILE}}
    page = render_page(replace(run, environments=environments, notes=(HOSTILE,)))
    assert "alert(1)</script>" not in page
    assert "<img src=x" not in page
    assert HOSTILE in text_of(page)


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner)))
def test_embedded_json_reads_back_and_ends_no_script(value: object) -> None:
    text = str(embed_json([value, HOSTILE, "\u2028<!--"]))
    assert json.loads(text) == [value, HOSTILE, "\u2028<!--"]
    assert not re.search(r"[<>&\u2028\u2029]", text)


def test_nan_in_embedded_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON"):
        embed_json([float("nan")])


def test_a_plan_without_optional_keys(tmp_path: Path) -> None:
    run = make_run(tmp_path / "bare", analysed=False)
    optional = ("columns", "published", "report", "splits")
    plan = {key: value for key, value in run.plan.items() if key not in optional}
    text = text_of(render_page(replace(run, plan=plan, truth=None, images=None)))
    assert "the annotation file has changed since" in text
    assert "AP-small" in text


def test_run_that_has_just_begun(made: Run) -> None:
    begun = replace(made, records=(), analyses={}, training={}, notes=())
    text = text_of(render_page(begun))
    assert "0 of 32 cells done" in text
    assert "Nothing has been measured yet." in text


def test_failures_are_told(made: Run) -> None:
    records = tuple(
        replace(r, status="failed", error=f"out of {HOSTILE}")
        if (r.kind, r.detector, r.seed, r.stage) == ("cell", "tinydet_m", 1, "latency")
        else r
        for r in made.records
    )
    text = text_of(quick_page(replace(made, records=records)))
    assert "31 of 32 cells done, 1 failed" in text
    assert f"tinydet_m seed 1, latency failed: out of {HOSTILE}" in text


def test_claims_that_compare_with_nothing_are_one_line(tmp_path: Path) -> None:
    claim = {
        "detector": "tinydet_s",
        "metric": "ap75",
        "value": 0.777,
        "unit": "AP",
        "split": "COCO val2017",
        "source": "a paper",
    }
    page = quick_page(make_run(tmp_path / "claimed", published=[claim, {**claim, "metric": "ap"}]))
    section = page[page.index('<section id="claims"') :].partition("</section>")[0]
    assert '<table class="claims">' not in section
    text = text_of(section)
    assert "2 published figures are not comparable." in text
    assert "1: not measured here (tinydet_s ap75)" in text
    assert "77.7" not in text_of(page), "never shown as measured"
    others = quick_page(
        make_run(tmp_path / "others", published=[{**claim, "detector": "elsewhere"}])
    )
    assert '<section id="claims"' not in others, "of a detector that is not in the run"


def test_a_claim_that_compares_has_a_row(tmp_path: Path) -> None:
    conditions = {"classes": 3, "input": "320x320", "proposals": 200}
    claim = {
        "detector": "tinydet_s", "metric": "macs_paper", "value": 0.48, "unit": "GFLOPs",
        "factor": 1000, "split": "any", "source": "a paper", "conditions": conditions,
    }  # fmt: skip
    page = quick_page(make_run(tmp_path / "claimed", published=[claim]))
    row = re.search(r'<table class="claims">.*?<tbody>\s*(<tr>.*?</tr>)', page, re.S)
    assert row is not None
    cells = [text_of(cell) for cell in re.findall(r"<td\b.*?</td>", row[1], re.S)]
    assert (cells[1], cells[3]) == ("0.48 GFLOPs", "480.0 MMACs")
    assert cells[4].startswith("reproduced")
    assert 'class="words same"' in row[1], "in the colour of what agrees"
    far = {**claim, "value": 0.6}
    other = quick_page(make_run(tmp_path / "far", published=[far]))
    assert re.search(r'class="words other"><strong>not reproduced<', other)


def test_a_section_that_raises_leaves_a_line_in_its_place(made: Run) -> None:
    broken = Section("broken", "no_such_module:build", title="Mine", order=15)
    page = quick_page(made, broken)
    assert "“Mine” could not be made: ModuleNotFoundError" in text_of(page)
    assert page.index('id="answer"') < page.index('id="broken"') < page.index('id="results"')


def test_sections_are_markup_text_or_frames(made: Run) -> None:
    for attribute, shown in (
        ("markup", "<b>bold</b>"),
        ("text", "a &lt; b"),
        ("frame", '<th scope="row">tinydet_s</th><td>1</td>'),
    ):
        section = Section("mine", f"outside_sections:{attribute}", title="Mine", order=55)
        page = quick_page(made, section)
        assert shown in page[page.index('id="mine"') :].partition("</section>")[0]
    nothing = Section("mine", "outside_sections:nothing", title="Mine")
    assert 'id="mine"' not in quick_page(made, nothing)


def test_unequal_training_is_told_at_the_top(made: Run) -> None:
    trains = {"tinydet_s": (700, None, 4, 1), "tinydet_m": (None, 3, 2, 2)}
    keys = ("steps", "epochs", "batch_size", "accumulate")
    plan = {
        **made.plan,
        "detectors": {
            name: {**detector, "train": dict(zip(keys, trains[name], strict=True))}
            for name, detector in made.plan["detectors"].items()
            if name in trains
        },
    }
    [words] = unequal_training(replace(made, plan=plan))
    assert "tinydet_s: 700 steps of 4 images; tinydet_m: 3 epochs of 4 images" in words
    assert words in text_of(quick_page(replace(made, plan=plan)))
    plan["detectors"]["tinydet_s"]["train"] = plan["detectors"]["tinydet_m"]["train"]
    assert list(unequal_training(replace(made, plan=plan))) == []


@pytest.mark.slow
def test_a_run_that_goes_on_says_what_is_left(made: Run) -> None:
    """By the mean time of cells of the same stage; of stages that took none, no time is known."""
    cells = made.plan["cells"]
    last = {"detector": cells[-1]["detector"], "seed": cells[-1]["seed"]}
    kept = tuple(r for r in made.records if (r.detector, r.seed) != tuple(last.values()))
    took = [r for r in kept if r.kind == "cell"]
    timed = tuple(
        replace(r, kind="measurement", metric="cell_seconds", value=10.0, unit="s") for r in took
    )
    page = text_of(quick_page(replace(made, records=(*timed, *kept)), goes_on=True))
    name = f"{last['detector']} seed {last['seed']} train"
    assert f"still running, about 40 s left, one cell at a time; now or next: {name}." in page
    unknown = text_of(quick_page(replace(made, records=kept), goes_on=True))
    assert f"still running; now or next: {name}." in unknown
    assert "data-reload" in quick_page(made, goes_on=True)
    over = quick_page(made)
    assert "still running" not in over
    assert "data-reload=" not in over


def test_a_run_that_has_just_begun_has_a_page(made: Run) -> None:
    page = text_of(render_page(replace(made, records=(), analyses={}, training={}), goes_on=True))
    assert "still running; now or next: " in page
    assert "” could not be made" not in page
    assert "0 of" in page


def test_other_optimisers_augmentations_and_recipes_are_told_at_the_top(made: Run) -> None:
    names = list(made.plan["detectors"])[:3]
    chosen = {"optimizer": {"use": "sgd"}, "augment": [{"use": "paper"}, {"use": "hsv"}]}
    train = {"steps": 9, "epochs": None, "batch_size": 4} | chosen
    detectors = {name: {"train": train} for name in names}
    plan = {**made.plan, "detectors": detectors}
    assert list(unequal_training(replace(made, plan=plan))) == []
    detectors[names[1]] = {"train": train | {"optimizer": {"use": "adamw"}}}
    detectors[names[2]] = {"train": train, "recipe": {"use": "yolox", "source": "a paper"}}
    [words] = unequal_training(replace(made, plan=plan))
    for name, how in zip(
        names,
        (
            "sgd with augmentation paper, hsv",
            "adamw with augmentation paper, hsv",
            "the recipe yolox",
        ),
        strict=True,
    ):
        assert f"{name}: 9 steps of 4 images by {how}" in words
