"""What is to be known of a run's numbers, worded once for terminal and page."""

from collections.abc import Sequence
from dataclasses import replace
from io import StringIO

import pytest
from making_runs import make_run, record_of
from rich.console import Console

from harness.plugin.metrics import Finding
from harness.records.record import Record
from harness.report.notes import captions, failures, warnings_of
from harness.report.summary import print_summary
from harness.results.run import Run

BUSY = Finding("busy_cpu", params={"cores": 2.0, "of": 2})
BUSY_WORDS = "other work used 2.0 of 2 CPU cores"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("notes") / "run", modes=("eager", "broken"))


def warned(run: Run, metric: str, detectors: tuple[str, ...], *findings: Finding) -> Run:
    def warn(record: Record) -> Record:
        meant = record.metric == metric and record.detector in detectors
        return replace(record, warnings=findings) if meant and not record.scope else record

    return replace(run, records=tuple(map(warn, run.records)))


def test_captions_are_of_recorded_conditions_and_each_is_told_once(run: Run) -> None:
    (of_time,) = [line for line in captions(run) if line.startswith("latency: ")]
    assert "batch 1, a made-up processor, threads 1, float32, eager" in of_time
    unknown = tuple(replace(r, conditions={"batch_size": 8}) for r in run.records)
    (of_time,) = [c for c in captions(replace(run, records=unknown)) if c.startswith("latency: ")]
    assert "batch 8, unknown device, threads unknown threads" in of_time


def test_what_has_no_number_has_no_caption(run: Run) -> None:
    lacking = record_of("tinydet_s", "energy_per_image", float("nan"))
    assert captions(replace(run, records=(lacking, *run.records))) == captions(run)
    there = record_of("tinydet_s", "energy_per_image", 5.0, conditions={"counters": "GPU"})
    lines = captions(replace(run, records=(lacking, there, *run.records)))
    assert any(line.startswith("energy: what GPU draws per image") for line in lines)


def test_an_optional_clause_goes_with_its_condition(run: Run) -> None:
    def ap_line(run: Run) -> str:
        return next(line for line in captions(run) if line.startswith("AP: "))

    assert "images, in float32 with TF32 off; size" in ap_line(run)
    without = [{k: v for k, v in r.conditions.items() if k != "precision"} for r in run.records]
    records = [replace(r, conditions=c) for r, c in zip(run.records, without, strict=True)]
    assert "images; size bins by" in ap_line(replace(run, records=tuple(records)))


def test_of_several_wordings_each_is_told_with_whose_it_is(run: Run) -> None:
    """As of files of detections, whose precision is not known."""

    def without(record: Record) -> Record:
        kept = {k: v for k, v in record.conditions.items() if k != "precision"}
        return replace(record, conditions=kept) if record.detector == "tinydet_l" else record

    mixed = replace(run, records=tuple(map(without, run.records)))
    lines = [line for line in captions(mixed) if line.startswith("AP: ")]
    assert [line.rpartition("; size bins by ")[2].partition(" (")[2] for line in lines] == [
        "tinydet_s, tinydet_m and ssdlite320)", "tinydet_l)",
    ]  # fmt: skip
    assert not any("(tinydet" in line for line in captions(run))


def test_modes_have_no_captions_of_their_own(run: Run) -> None:
    compiled = [
        replace(r, scope="mode/compiled", conditions={**r.conditions, "mode": "compiled"})
        for r in run.records
        if r.metric == "latency_end_to_end_p50"
    ]
    assert compiled
    assert captions(replace(run, records=(*compiled, *run.records))) == captions(run)


def test_recipes_are_told_where_one_is_not_the_suites(run: Run) -> None:
    own = {"train": {}, "recipe": {"use": "paper", "source": "section 3"}}
    plain = {"train": {}, "recipe": {"use": "same", "source": ""}}

    def told(**detectors: object) -> list[str]:
        changed = replace(run, plan={**run.plan, "detectors": detectors})
        return [line for line in captions(changed) if line.startswith("trained: ")]

    assert told(a=plain, b=plain) == []
    [line] = told(a=plain, b=own, file={"detections": "x.json", "parts": {}})
    start = "trained: a by the suite's recipe; b by the recipe paper (section 3); differences"
    assert line.startswith(start)
    assert told(b=own) == ["trained: b by the recipe paper (section 3)"]


def test_a_failure_names_its_cell(run: Run) -> None:
    lines = failures(run)
    assert len(lines) == 2 * len(run.detectors)
    assert lines[0].startswith("tinydet_s seed 0, latency broken failed: does not find")


def test_a_warning_is_told_once_with_all_that_it_is_of(run: Run) -> None:
    metric = "latency_end_to_end_p50"
    some = warned(run, metric, run.detectors[:2], BUSY)
    (told,) = [w for w in warnings_of(some, run.columns) if w.text == BUSY_WORDS]
    assert str(told) == f"! latency of tinydet_s and tinydet_m: {BUSY_WORDS}"
    every = warned(run, metric, run.detectors, BUSY)
    (told,) = [w for w in warnings_of(every, run.columns) if w.text == BUSY_WORDS]
    assert str(told) == f"! latency: {BUSY_WORDS}"


def test_a_warning_of_all_that_is_known_is_told_in_short(run: Run) -> None:
    """As one of a file of detections, of which only scores are known."""

    def of(metrics: Sequence[str], *detectors: str, among: Sequence[str], run: Run = run) -> str:
        for metric in metrics:
            run = warned(run, metric, detectors, BUSY)
        (told,) = [w for w in warnings_of(run, among) if w.text == BUSY_WORDS]
        return told.of

    everyone, five = run.detectors, ("ap", "ap_small", "ap50", "macs_paper", "parameters")
    all_six = (*five, "latency_end_to_end_p50")
    assert of(five, *everyone, among=five) == "all numbers"
    assert of(five[:4], *everyone, among=five[:4]) == "AP, AP-small, AP50 and MACs"
    assert of(five, "tinydet_l", among=five) == "all numbers of tinydet_l"
    assert of(five, "tinydet_l", among=all_six).startswith("AP, AP-small, AP50, ")
    untimed = [r for r in run.records if (r.detector, r.stage) != ("tinydet_l", "latency")]
    scored = replace(run, records=tuple(untimed))
    assert of(five, "tinydet_l", among=all_six, run=scored) == "all numbers of tinydet_l"


def test_the_gravest_is_told_first_and_what_casts_no_doubt_last(run: Run) -> None:
    findings = (Finding("gpu_unknown", "remark"), BUSY, Finding("impossible_samples", "invalid"))
    of = warned(run, "latency_end_to_end_p50", run.detectors, *findings)
    levels = [w.level for w in warnings_of(of, ["latency_end_to_end_p50"])]
    assert levels == ["invalid", "doubtful", "valid"]
    assert str(warnings_of(of, ["latency_end_to_end_p50"])[-1]).startswith("latency: unknown")


def test_captions_of_the_terminal_are_those_of_its_columns(made: Run) -> None:
    everything = captions(made)
    assert any(line.startswith("latency") for line in everything)
    assert [line.split(":")[0] for line in captions(made, {"ap"})] == ["AP"]
    cut = replace(made, plan={**made.plan, "columns": ["ap"]})
    out = StringIO()
    print_summary(cut, Console(file=out, width=200, color_system=None))
    assert "AP: COCO's" in out.getvalue()
    assert "latency: median" not in out.getvalue()
