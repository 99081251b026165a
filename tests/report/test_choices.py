"""The best within limits: who fits, who does not and why, on the command line and on the page."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import opened
from making_analyses import make_analysis
from making_runs import CLASSES, make_run, record_of

from harness.errors import UserError
from harness.report.choices import as_data, compared, describe_choice
from harness.report.page import render_page
from harness.results.choosing import (
    choose,
    differences_behind,
    limitable,
    parse_limit,
    rank_contenders,
)
from harness.results.difference import Difference, Verdict
from harness.results.protocol import Mismatch
from harness.results.ranking import rank
from harness.results.run import Run

if TYPE_CHECKING:
    from playwright import sync_api

# AP 30.2, 34.2, 34.7, 24.2; MACs 480, 960, 1440, 1920; latency 20, 40, 60, 80
NAMES = ["tinydet_s", "tinydet_m", "tinydet_l", "ssdlite320"]
EIGHT = "onnxruntime-int8"
# AP 30.2 and 34.7; latency 20 and 40 in eager, 10 and 20 compiled, 6 and 12 in 8 bits
TWO = {"tinydet_s": 0.30, "tinydet_l": 0.345}


def told(run: Run, *limits: str, modes: Sequence[str] = ()) -> str:
    """`<` for at most, `>` for at least."""
    parsed = [
        parse_limit(run, text.replace("<", "=").replace(">", "="), "<" in text) for text in limits
    ]
    return describe_choice(run, choose(run, parsed, modes), parsed)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two detectors in four modes; what the one of 8 bits found was not kept."""
    modes = ("eager", "fused", "compiled", EIGHT)
    return make_run(tmp_path_factory.mktemp("moded") / "made", detectors=TWO, modes=modes)


def with_eight(run: Run, **scores: float) -> Run:
    """With what 8 bits found of some detectors, of that AP under seed 0."""
    assert run.truth is not None
    kept = {
        (name, seed, EIGHT): make_analysis(
            ap + 0.004 * seed, CLASSES, run.truth.image_ids, seed=100 * seed + 50 + i
        )
        for i, (name, ap) in enumerate(scores.items())
        for seed in (0, 1)
    }
    return replace(run, mode_analyses=kept)


@pytest.fixture(scope="module")
def moded(checked: Run) -> Run:
    """The same with what 8 bits found: they cost the large one more than a point."""
    return with_eight(checked, tinydet_s=0.298, tinydet_l=0.33)


def test_without_limits_it_is_the_best(made: Run) -> None:
    assert told(made).startswith("tinydet_l: AP 34.7 % [")
    assert "Not significantly different from tinydet_m." in told(made)
    assert "Significantly better than tinydet_s and ssdlite320." in told(made)


@pytest.mark.parametrize(
    ("limits", "best"),
    [
        (["macs<960"], "tinydet_m"), (["macs<959.9"], "tinydet_s"), (["latency<70"], "tinydet_l"),
        (["latency<70", "params<3"], "tinydet_s"), (["ap_small>17.2"], "tinydet_l"),
        (["macs<2000", "ap_small>1"], "tinydet_l"),
    ],
)  # fmt: skip
def test_limits_are_in_the_units_of_tables(made: Run, limits: list[str], best: str) -> None:
    assert told(made, *limits).startswith(f"{best}: AP ")


def test_a_metric_without_a_rank_is_a_limit_too(tmp_path: Path) -> None:
    sizes = {"tinydet_s": 2.5, "tinydet_m": 5.0, "tinydet_l": 7.5}
    more = [
        record_of(name, "model_size", size, seed=s) for name, size in sizes.items() for s in (0, 1)
    ]
    run = make_run(tmp_path / "sized", more=more)
    assert told(run, "model_size<5").startswith("tinydet_m: AP 34.2 %")
    assert "model size 2.50 MB" in told(run, "model_size<4.9")
    assert told(run, "model_size<2").startswith("nothing fits: ")
    assert run.difference("tinydet_s", "tinydet_l", "model_size").verdict == "worse"


def test_it_says_what_the_limited_numbers_are(made: Run) -> None:
    assert "], latency 20.0 ms, MACs 480.0 MMACs. Nothing else fits." in told(
        made, "latency<30", "macs<700"
    )


def test_of_a_part_of_a_name_the_whole_is_guessed(made: Run) -> None:
    with pytest.raises(UserError, match="did you mean 'ap_small'"):
        parse_limit(made, "small=3", True)


def test_a_limit_of_the_score_does_not_tell_it_twice(made: Run) -> None:
    told = describe_choice(
        made, choose(made, limits := [parse_limit(made, "ap=30", False)]), limits
    )
    assert told.partition(". ")[0].count("AP ") == 1


def test_a_limit_inside_the_uncertainty_is_said(made: Run) -> None:
    found = made.estimate("tinydet_s", "latency_end_to_end_p50")
    near = (found.value + found.high) / 2
    assert "Its latency may miss the limit: its interval is [" in told(made, f"latency<{near}")
    assert "may miss" not in told(made, f"latency<{found.high + 1}")


def test_a_limit_makes_no_difference_significant(made: Run) -> None:
    """Verdicts are corrected for all detectors behind the best, whether they fit or not."""
    ranking = rank(made, made.spec("ap"))
    assert ranking is not None
    all_behind = differences_behind(made, rank_contenders(made), "tinydet_l")
    assert tuple(all_behind.values()) == ranking.differences
    limited = choose(made, [parse_limit(made, "macs=1500", True)])
    names = [one.detector for one in limited.order]
    assert names == ["tinydet_l", "tinydet_m", "tinydet_s"]
    assert limited.rivals == {name: all_behind[name] for name in names[1:]}


def test_nor_does_a_mode_that_is_left_out(moded: Run) -> None:
    groups = rank_contenders(moded)
    assert list(groups) == [
        "tinydet_l", f"tinydet_l in {EIGHT}", "tinydet_s", f"tinydet_s in {EIGHT}"
    ]  # fmt: skip
    narrowed = choose(moded, [], ["eager"])
    assert list(narrowed.rivals) == ["tinydet_s"]
    assert (
        narrowed.rivals["tinydet_s"] == differences_behind(moded, groups, "tinydet_l")["tinydet_s"]
    )


def test_of_modes_that_find_the_same_the_fastest_is_named(moded: Run) -> None:
    line = told(moded)
    assert line.startswith("tinydet_l in compiled: AP 34.7 % [")
    assert f"tinydet_l in {EIGHT}, tinydet_s and tinydet_s in {EIGHT}" in line
    assert "Its latency is significantly better than in eager and fused." in line
    only = told(moded, modes=["eager", "fused"])
    assert only.startswith("tinydet_l in eager: AP 34.7 %")
    assert "Its latency is not significantly different in fused." in only


def test_a_mode_of_8_bits_competes_with_its_own_score(moded: Run) -> None:
    """Of 12 ms at 33.2 points; compiled it would take 20."""
    line = told(moded, "latency<15")
    assert line.startswith(f"tinydet_l in {EIGHT}: AP 33.2 % [")
    assert "latency 12.0 ms. Significantly better than tinydet_s and tinydet_s in" in line
    worse = with_eight(moded, tinydet_s=0.298, tinydet_l=0.25)
    assert told(worse, "latency<15").startswith("tinydet_s in compiled: AP 30.2 % [")
    small = told(moded, "latency<15", "ap_small>16.7")
    assert small.startswith("nothing fits: ")
    assert f"tinydet_l in {EIGHT} AP-small 16.6 % < 16.7" in small


def test_without_its_detections_the_score_is_that_of_its_check(checked: Run) -> None:
    """31.1 points of both, on the 50 images of the check, where others were evaluated on 16."""
    line = told(checked, "latency<15")
    assert line == (
        f"tinydet_s in {EIGHT}: AP 31.1 %, latency 6.0 ms. Whether that differs significantly from "
        f"tinydet_l in {EIGHT} is unknown. Not comparable with tinydet_s: images: 16 against 50."
    )
    # of other scores the check says nothing
    assert told(checked, "latency<15", "ap_small>1").startswith("tinydet_s in compiled: ")


def test_a_score_of_8_bits_below_the_floor_never_wins(moded: Run) -> None:
    dead = with_eight(moded, tinydet_s=0.001, tinydet_l=0.002)
    line = told(dead, modes=[EIGHT])
    assert line == (
        f"nothing fits: tinydet_s in {EIGHT} has no usable score; "
        f"tinydet_l in {EIGHT} has no usable score"
    )


def test_of_each_detector_the_mode_that_nearly_fits_is_named(moded: Run) -> None:
    assert told(moded, "latency<1").startswith(
        f"nothing fits: tinydet_s in {EIGHT} latency 6.0 ms > 1; tinydet_l in {EIGHT} latency 12.0"
    )
    assert "tinydet_s in eager AP-small 15.1 % < 40" in told(
        moded, "latency<25", "ap_small>40", modes=["eager"]
    )


def test_a_size_that_only_some_modes_know_is_a_limit(checked: Run) -> None:
    """The first mode, which all tables show, has none."""
    sizes = [
        record_of(name, "model_size", size, seed=seed, mode="compiled", scope="mode/compiled",
                  fingerprint=f"f-{name}-{seed}-latency-compiled")
        for name, size in (("tinydet_s", 2.5), ("tinydet_l", 7.5))
        for seed in (0, 1)
    ]  # fmt: skip
    run = replace(checked, records=(*sizes, *checked.records))
    assert not run.has("model_size")
    line = told(run, "model_size<5MB")
    assert line.startswith("tinydet_s in compiled: AP 30.2 %")
    assert "model size 2.50 MB" in line
    assert "tinydet_l in compiled model size 7.50 MB > 2" in told(run, "model_size<2")
    assert "model_size" not in {spec.name for spec, _ in limitable(run)}
    asked = replace(run, plan={**run.plan, "columns": ["ap", "model_size"]})
    assert (run.spec("model_size"), True) in limitable(asked)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("latency=15", 15), ("latency=15ms", 15), ("latency= 1.5e1 MS ", 15), ("ap_small=10%", 10),
        ("ap_small=.1AP", 10), ("params=2M", 2),
    ],
)  # fmt: skip
def test_a_number_may_have_its_unit(made: Run, text: str, bound: float) -> None:
    assert parse_limit(made, text, True).bound == pytest.approx(bound)


def test_where_nothing_fits_it_says_what_each_misses(made: Run) -> None:
    line = told(made, "macs<700", "ap_small>17")
    assert line.startswith("nothing fits: tinydet_s AP-small 15.1 % < 17; tinydet_m MACs 960.0 ")
    assert "MACs 1,440.0 MMACs > 700" in line


def test_a_detector_that_learned_nothing_is_never_chosen(tmp_path: Path) -> None:
    run = make_run(tmp_path / "made", detectors={"dead": 0.001, "good": 0.3})
    assert told(run, "macs<500").startswith("nothing fits: dead has no usable score; good MACs")
    assert as_data(run) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("latency", "is not of the form"), ("latency=x", "is not of the form"),
        ("speed=3", "'speed' was not measured in this run"),
        ("latency=3s", "latency is in ms"), ("latency=1.2.3", "latency is in ms"),
    ],
)  # fmt: skip
def test_a_limit_that_cannot_be_read(made: Run, text: str, found: str) -> None:
    with pytest.raises(UserError, match=found):
        parse_limit(made, text, True)


def test_a_cost_of_which_more_is_better_has_a_lower_limit(made: Run) -> None:
    spec = replace(made.catalog.specs["macs_paper"], better="higher")
    catalog = replace(made.catalog, specs={**made.catalog.specs, "macs_paper": spec})
    limits = {s.name: upper for s, upper in limitable(replace(made, catalog=catalog))}
    assert limits["macs_paper"] is False


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        ("better", "Significantly better than a and b."),
        ("worse", "Not significantly different from a and b."),
        ("noise", "Not significantly different from a and b."),
        ("equal", "The same as a and b."),
        ("unknown", "Whether that differs significantly from a and b is unknown."),
        ("refused", "Not comparable with a and b: images: 3 against 4."),
    ],
)
def test_others_are_told_by_verdict(verdict: Verdict, sentence: str) -> None:
    """The best may be worse by a test than one with a lower value; it is never said to be ahead."""
    mismatches = (Mismatch("images", "3", "4"),) if verdict == "refused" else ()
    found = Difference(verdict, mismatches=mismatches)
    assert list(compared([("a", found), ("b", found)])) == [sentence]


def test_the_page_offers_costs_and_further_scores(made: Run) -> None:
    offered = {spec.name: upper for spec, upper in limitable(made)}
    assert offered == {
        "latency_end_to_end_p50": True, "macs_paper": True, "parameters": True, "ap_small": False,
    }  # fmt: skip


@pytest.mark.slow
def test_the_page_chooses_as_the_command_does(
    browser: "sync_api.Browser", made_page: Path, made: Run
) -> None:
    with opened(browser, made_page, figures="none") as (page, complaints):
        for name, field, bound in [
            ("macs", "macs_paper", 960), ("latency", "latency_end_to_end_p50", 45),
            ("params", "parameters", 3), ("macs", "macs_paper", 100),
        ]:  # fmt: skip
            page.fill(f"#choose input[name={field}]", str(bound))
            best = told(made, f"{name}<{bound}").partition(":")[0]
            start = "No detector is within all" if best == "nothing fits" else f"{best} AP "
            assert page.inner_text("#chosen").startswith(start)
            assert f"max.{field}={bound}" in page.evaluate("location.hash")
            page.fill(f"#choose input[name={field}]", "")
            assert page.inner_text("#chosen") == ""
        page.fill("#choose input[name=macs_paper]", "2000")
        sentences = told(made, "macs<2000").partition("MMACs. ")[2]
        assert page.inner_text("#chosen").partition("]. ")[2] == sentences
        page.fill("#choose input[name=macs_paper]", "")
        exact = page.evaluate(
            "JSON.parse(document.getElementById('choices').textContent)"
            ".contenders[0].values.ap_small.value"
        )
        page.fill("#choose input[name=ap_small]", repr(exact))  # a bound is met by itself
        assert page.inner_text("#chosen").startswith("tinydet_l AP ")
        page.fill("#choose input[name=ap_small]", "")
        found = made.estimate("tinydet_s", "latency_end_to_end_p50")
        bound = round((found.value + found.high) / 2, 3)
        page.fill("#choose input[name=latency_end_to_end_p50]", str(bound))
        sentences = told(made, f"latency<{bound}").partition("ms. ")[2]
        assert "may miss the limit" in sentences
        assert page.inner_text("#chosen").partition("]. ")[2] == sentences
        page.goto(f"{made_page.as_uri()}#max.macs_paper=700&min.ap_small=10")
        page.reload()
        assert page.inner_text("#chosen").startswith("tinydet_s AP 30.2 %")
        assert page.input_value("#choose input[name=ap_small]") == "10"
        assert page.locator("#choose select").count() == 0
        assert complaints == []


@pytest.mark.slow
def test_it_does_so_in_all_modes(browser: "sync_api.Browser", moded: Run, tmp_path: Path) -> None:
    """Whatever the limits and the mode: the same detector, the same mode, the same sentences."""
    path = tmp_path / "report.html"
    path.write_text(render_page(moded), encoding="utf-8")
    drawn, answers = random.Random(0), set()
    fields = {"latency_end_to_end_p50": (5, 45), "macs_paper": (400, 1100), "ap_small": (10, 18)}
    with opened(browser, path, figures="none") as (page, complaints):
        names = page.locator("#choose select option").all_inner_texts()
        assert names == ["any", "eager", "fused", "compiled", EIGHT]
        for _ in range(60):
            mode = drawn.choice(["", *names[1:]])
            limits = {
                name: str(round(drawn.uniform(*ends), 1)) if drawn.random() < 0.6 else ""
                for name, ends in fields.items()
            }
            for name, bound in limits.items():
                page.fill(f"#choose input[name={name}]", bound)
            page.select_option("#choose select", mode)
            said = page.inner_text("#chosen")
            texts = [f"{n}{'>' if n == 'ap_small' else '<'}{b}" for n, b in limits.items() if b]
            if not texts and not mode:
                assert said == ""
                continue
            line = told(moded, *texts, modes=[mode] if mode else [])
            best, _, rest = line.partition(": ")
            answers.add(best)
            if best == "nothing fits":
                assert said == "No detector is within all of these limits."
                continue
            assert said.startswith(f"{best} AP ")
            assert said.partition("]. ")[2] == rest.partition(". ")[2]
        page.goto(f"{path.as_uri()}#mode=fused")
        page.reload()
        assert page.input_value("#choose select") == "fused"
        assert page.inner_text("#chosen").startswith("tinydet_l in fused AP 34.7 %")
        page.fill("#choose input[name=macs_paper]", "500")
        assert page.evaluate("location.hash") == "#max.macs_paper=500&mode=fused"
        assert complaints == []
    assert len(answers) > 5
