"""What a metric's declaration may say, and how it goes into a plan and back."""

import json
from typing import Any

import pytest

from harness.plugin.catalog import Catalog
from harness.plugin.metrics import MetricSpec, Scoring
from harness.results.run import known_metrics

OVER_IMAGES = {"interval": "bootstrap", "scoring": Scoring()}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "AP"}, "a name is lower-case letters, digits and underscores"),
        ({"name": "1st"}, "a name is lower-case letters, digits and underscores"),
        ({"name": ""}, "a name is lower-case letters, digits and underscores"),
        ({"name": "x" * 65}, "a name is lower-case letters, digits and underscores"),
        ({"kind": "speed"}, "kind is 'speed', not one of 'score', 'time'"),
        ({"better": "more"}, "better is 'more', not one of 'higher', 'lower', ''"),
        ({"interval": "normal"}, "interval is 'normal', not one of 'bootstrap', 'samples'"),
        ({"role": "price"}, "role is 'price', not one of 'score', 'cost', ''"),
        ({"role": "cost"}, "a cost needs to say which way is better"),
        ({"role": "score"}, "a score needs to say which way is better"),
        ({"role": "score", "better": "lower"}, "a score that is better when lower is a cost"),
        ({"floor": 0.1, "role": "cost", "better": "lower"}, "only a score has a floor"),
        ({"scale": 0.0}, "scale is 0, not positive"),
        ({"scale": -1.0}, "scale is -1, not positive"),
        ({"scale": float("nan")}, "scale is nan, not positive"),
        ({"digits": -1}, "digits is -1, not zero or more"),
        ({"scoring": Scoring()}, "scoring needs interval='bootstrap'"),
        ({"percent": 0, "interval": "samples"}, "percent is 0, not between 0 and 100"),
        ({"percent": 100, "interval": "samples"}, "percent is 100, not between 0 and 100"),
        ({"percent": 50}, "percent needs interval='samples'"),
        ({"percent": 50, "interval": "exact"}, "percent needs interval='samples'"),
        ({"samples_of": "other", "interval": "exact"}, "samples are not exact"),
        ({"samples_of": "made"}, "its samples cannot be those of itself"),
        ({"ranged": True}, "ranged needs scoring"),
        ({"checks": ("rule",)}, "the check 'rule' is not 'module:function'"),
        ({"checks": ("a module:rule",)}, "the check 'a module:rule' is not 'module:function'"),
        ({"checks": "package.module:rule"}, "checks is a string, not a tuple of strings"),
        ({"protocol": "device"}, "protocol is a string, not a tuple of strings"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, Any], said: str) -> None:
    whole = {"name": "made", **given}
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is looked at below
        MetricSpec(**whole)
    text = str(caught.value)
    assert text.startswith(f"metric '{whole['name']}': {said}")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"of": "f1"}, "scoring is of precision or recall, not of 'f1'"),
        ({"iou": 0.52}, "an IoU threshold is 0.50, 0.55 ... 0.95, not 0.52"),
        ({"iou": 1.0}, "an IoU threshold is 0.50, 0.55 ... 0.95, not 1"),
        ({"of": "recall", "iou": 0.5}, "COCO's recall is the mean over all IoU thresholds"),
        ({"limit": 0}, "0 detections per image leave nothing to score"),
    ],
)
def test_a_figure_that_coco_does_not_have_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Scoring(**given)


@pytest.mark.parametrize("iou", [0.5, 0.55, 0.7, 0.95, 0.1 * 6])
def test_coco_has_these_thresholds(iou: float) -> None:
    assert Scoring(iou=iou).iou == iou


def test_title_and_shown_unit_are_those_of_the_record_unless_given() -> None:
    plain = MetricSpec("time_to_first_box", unit="ms")
    assert (plain.title, plain.shown_unit) == ("time to first box", "ms")
    shown = MetricSpec("share", "part", unit="1", scale=100, shown_unit="%")
    assert (shown.title, shown.unit, shown.shown_unit) == ("part", "1", "%")


@pytest.mark.parametrize("spec", known_metrics().specs.values(), ids=lambda spec: spec.name)
def test_every_shipped_metric_goes_into_json_and_back(spec: MetricSpec) -> None:
    assert MetricSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_what_a_newer_harness_adds_to_a_metric_is_left_out() -> None:
    plain = {**MetricSpec("made", unit="kg").to_json(), "colour": "red"}
    assert MetricSpec.from_json(plain) == MetricSpec("made", unit="kg")


def test_a_catalog_goes_into_json_and_back() -> None:
    known = known_metrics()
    again = Catalog.from_json(json.loads(json.dumps(known.to_json())))
    assert again == known
    assert list(again.specs) == list(known.specs)


def test_of_two_catalogs_the_first_decides() -> None:
    one = Catalog.of([MetricSpec("a", unit="1")], {"code": "one"})
    two = Catalog.of([MetricSpec("a", unit="2"), MetricSpec("b")], {"code": "two", "more": "m"})
    both = one.joined(two)
    assert (both.specs["a"].unit, set(both.specs)) == ("1", {"a", "b"})
    assert both.messages == {"code": "one", "more": "m"}


def test_area_ranges_make_metrics_of_those_that_have_them() -> None:
    whole = MetricSpec(
        "made", "M", better="higher", role="score", question="Best", ranged=True, short=("m",),
        **OVER_IMAGES,
    )  # fmt: skip
    found = Catalog.of([whole, MetricSpec("other")]).with_ranges(["tiny", "huge"])
    assert list(found.specs) == ["made", "made_tiny", "made_huge", "other"]
    tiny = found.specs["made_tiny"]
    assert (tiny.title, tiny.role, tiny.short, tiny.ranged) == ("M-tiny", "", (), False)
    assert tiny.scoring == Scoring(area="tiny")
    assert found.find("m") == whole
    assert found.find("made_tiny") == tiny
    assert found.find("nothing") is None
    assert found.main_score == whole
