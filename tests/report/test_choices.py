"""The best within limits: who fits, who does not and why, on the command line and on the page."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import opened
from making_runs import make_run, record_of

from harness.errors import UserError
from harness.report.choices import as_data, compared, describe_choice
from harness.results.choosing import (
    choose,
    differences_behind,
    limitable,
    parse_limit,
    ranked_by_score,
)
from harness.results.difference import Difference, Verdict
from harness.results.protocol import Mismatch
from harness.results.run import Run

if TYPE_CHECKING:
    from playwright import sync_api

# AP 30.2, 34.2, 34.7, 24.2; MACs 480, 960, 1440, 1920; latency 20, 40, 60, 80
NAMES = ["tinydet_s", "tinydet_m", "tinydet_l", "ssdlite320"]


def told(run: Run, *limits: str) -> str:
    """`<` for at most, `>` for at least."""
    parsed = [
        parse_limit(run, text.replace("<", "=").replace(">", "="), "<" in text) for text in limits
    ]
    return describe_choice(run, choose(run, parsed), parsed)


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


def test_a_limit_inside_the_uncertainty_is_said(made: Run) -> None:
    found = made.estimate("tinydet_s", "latency_end_to_end_p50")
    near = (found.value + found.high) / 2
    assert "Its latency may miss the limit: its interval is [" in told(made, f"latency<{near}")
    assert "may miss" not in told(made, f"latency<{found.high + 1}")


def test_a_limit_makes_no_difference_significant(made: Run) -> None:
    """Verdicts are corrected for all detectors behind the best, whether they fit or not."""
    ranking = ranked_by_score(made)
    assert ranking is not None
    all_behind = differences_behind(made, ranking, 0)
    assert tuple(all_behind.values()) == ranking.differences
    limited = choose(made, [parse_limit(made, "macs=1500", True)])
    names = [one.detector for one in limited.order]
    assert names == ["tinydet_l", "tinydet_m", "tinydet_s"]
    assert limited.differences == tuple(all_behind[name] for name in names[1:])


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


def test_the_page_chooses_as_the_command_does(
    browser: "sync_api.Browser", made_page: Path, made: Run
) -> None:
    with opened(browser, made_page) as (page, complaints):
        for name, field, bound in [
            ("macs", "macs_paper", 960), ("latency", "latency_end_to_end_p50", 45),
            ("params", "parameters", 3), ("macs", "macs_paper", 100),
        ]:  # fmt: skip
            page.fill(f"#choose input[name={field}]", str(bound))
            best = told(made, f"{name}<{bound}").partition(":")[0]
            start = "No detector is within all" if best == "nothing fits" else f"{best} AP "
            assert page.inner_text("#chosen").startswith(start)
            assert f"max.{field}={bound}" in page.url
            page.fill(f"#choose input[name={field}]", "")
            assert page.inner_text("#chosen") == ""
        page.fill("#choose input[name=macs_paper]", "2000")
        sentences = told(made, "macs<2000").partition("MMACs. ")[2]
        assert page.inner_text("#chosen").partition("]. ")[2] == sentences
        page.fill("#choose input[name=macs_paper]", "")
        exact = page.evaluate(
            "JSON.parse(document.getElementById('choices').textContent)"
            ".detectors[0].values.ap_small.value"
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
        assert complaints == []
