"""What detectors differ in: a part, a parameter, a setting; and which pairs in one thing alone."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from harness.plugin.catalog import Catalog
from harness.results.ablation import Change, built_detectors, changes, differing, single_changes
from harness.results.run import Run

SGD = {"use": "sgd", "params": {"lr": 0.1}, "plugin": ["p", "1"]}
FLIP = [{"use": "flip", "params": {}, "plugin": ["p", "1"]}]
MOSAIC = [*FLIP, {"use": "mosaic", "params": {"p": 0.5}, "plugin": ["p", "1"]}]
BASE: dict[str, Any] = {
    "input": {"size": [320, 320], "mean": [1.0, 2.0]},
    "checkpoint": None,
    "backbone_checkpoint": None,
    "train": {"steps": 10, "epochs": None, "workers": 2, "optimizer": SGD, "augment": FLIP},
    "parts": {
        "backbone": {"use": "small", "params": {"width": 1.0}, "plugin": ["p", "1"]},
        "neck": {"use": "fpn", "params": {"groups": [7, 1]}, "plugin": ["p", "1"]},
    },
}


def other(*path: str, to: Any) -> dict[str, Any]:
    """The base with another value at a path."""
    changed = deepcopy(BASE)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return changed


def run_of(**detectors: dict[str, Any] | None) -> Run:
    return Run(Path(), {"detectors": detectors}, (), Catalog())


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("parts", "neck", "params", "groups"), [1, 1], Change("neck groups", "7, 1", "1, 1")),
        (("parts", "backbone", "params", "width"), 0.5, Change("backbone width", "1", "0.5")),
        (("parts", "neck"), {"use": "pan", "params": {"depth": 3}}, Change("neck", "fpn", "pan")),
        (("input", "size"), [416, 416], Change("input size", "320, 320", "416, 416")),
        (("train", "optimizer", "params", "lr"), 0.2, Change("optimizer lr", "0.1", "0.2")),
        (("train", "optimizer"), {**SGD, "use": "adamw"}, Change("optimizer", "sgd", "adamw")),
        (("train", "augment"), MOSAIC, Change("train augment", "flip", "flip, mosaic (p 0.5)")),
        (("train", "ema"), {"decay": 0.9}, Change("train ema decay", "–", "0.9")),
        (("recipe",), {"use": "paper", "source": "x"}, Change("recipe", "–", "paper")),
        (("train", "epochs"), 3, Change("train epochs", "–", "3")),
        (("backbone_checkpoint",), "x.pt", Change("backbone checkpoint", "–", "x.pt")),
    ],
)
def test_one_thing_that_differs(path: tuple[str, ...], value: Any, expected: Change) -> None:
    assert changes(BASE, other(*path, to=value)) == [expected]
    [turned] = changes(other(*path, to=value), BASE)
    assert turned == Change(expected.what, expected.after, expected.before)


def test_what_changes_no_weight_is_no_difference() -> None:
    assert changes(BASE, other("train", "workers", to=8)) == []
    newer = other("parts", "neck", "plugin", to=["p", "2"])
    assert changes(BASE, newer) == []


def test_pairs_that_differ_in_two_things_are_left_out() -> None:
    small, wide = other("input", "size", to=[64, 64]), other("parts", "backbone", "params", to={})
    both = other("input", "size", to=[64, 64])
    both["parts"]["backbone"]["params"] = {}
    found = single_changes(run_of(a=BASE, b=small, c=wide, d=both))
    assert [(one.base, one.other, one.change.what) for one in found] == [
        ("a", "b", "input size"), ("c", "d", "input size"),
        ("a", "c", "backbone width"), ("b", "d", "backbone width"),
    ]  # fmt: skip


def test_the_same_change_is_told_in_one_direction() -> None:
    pan = other("parts", "neck", to={"use": "pan", "params": {}})
    small_pan = {**pan, "input": {"size": [64, 64]}}
    small = other("input", "size", to=[64, 64])
    run = run_of(a=BASE, b=pan, c={**small_pan, "input": small["input"]}, d=small)
    told = [(one.base, one.other) for one in single_changes(run) if one.change.what == "neck"]
    assert told == [("a", "b"), ("d", "c")]


def test_what_is_not_built_here_is_left_out() -> None:
    file = {"detections": "x.json", "parts": {}}
    run = run_of(a=BASE, b=other("input", "size", to=[64, 64]), file=file, bare=None)
    assert list(built_detectors(run)) == ["a", "b"]
    assert differing(run) == {"input size": ["320, 320", "64, 64"]}
    assert len(single_changes(run)) == 1


def test_a_whole_detector_decides_on_its_input() -> None:
    whole = {**BASE, "parts": {"detector": {"use": "ssd", "params": {}, "plugin": ["p", "1"]}}}
    bigger = {**whole, "input": {"size": [999, 999]}}
    assert changes(whole, bigger) == []
    table = differing(run_of(a=BASE, whole=whole))
    assert table["backbone"] == ["small", "–"]
    assert table["detector"] == ["–", "ssd"]
    assert single_changes(run_of(a=BASE, whole=whole)) == []
