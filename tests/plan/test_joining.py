"""The plan of a run that is called again."""

import pytest

from harness.plan.joining import join_orders, join_plans
from harness.plugin.catalog import Catalog
from harness.plugin.metrics import MetricSpec


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("ac", "b", "acb"),  # no common name: as they were asked for
        ("abc", "b", "abc"),
        ("b", "abc", "abc"),
        ("ac", "abc", "abc"),
        ("ad", "abcd", "abcd"),
        ("bd", "acd", "bacd"),
        ("", "ab", "ab"),
    ],
)
def test_orders_are_joined_as_the_suite_has_them(first: str, second: str, joined: str) -> None:
    found = "".join(join_orders(list(first), list(second)))
    assert found == joined
    for part in (first, second):
        assert [c for c in found if c in part] == list(part)


def plan(*cells: tuple[str, int, str, str], **more: object) -> dict[str, object]:
    keys = ("detector", "seed", "stage", "fingerprint")
    return {
        "detectors": {cell[0]: {"of": cell[3]} for cell in cells},
        "meters": [{"use": "m", "params": {}}],
        "cells": [{**dict(zip(keys, cell, strict=True)), "mode": ""} for cell in cells],
        "fingerprint": "f",
        "metrics": Catalog().to_json(),
        **more,
    }


def test_a_cell_that_is_planned_again_is_there_once() -> None:
    before = plan(("a", 0, "train", "1"), ("a", 0, "evaluate", "2"), columns=["ap"])
    now = plan(("a", 0, "evaluate", "3"), ("b", 1, "train", "4"), columns=["ap50"])
    joined = join_plans(before, now)
    assert [c["fingerprint"] for c in joined["cells"]] == ["1", "3", "4"]
    assert joined["detectors"] == {"a": {"of": "3"}, "b": {"of": "4"}}
    assert joined["columns"] == ["ap50"]
    assert joined["meters"] == before["meters"]
    assert joined["fingerprint"] not in (before["fingerprint"], now["fingerprint"])
    assert join_plans(joined, joined) == joined


def test_modes_of_a_stage_are_cells_of_their_own() -> None:
    """Of calls with other modes and meters nothing is lost either."""
    before, now = plan(("a", 0, "latency", "1")), plan(("a", 0, "latency", "2"))
    now["cells"][0]["mode"] = "fused"  # type: ignore[index]
    now["meters"] = [{"use": "m", "params": {"new": 1}}, {"use": "other", "params": {}}]
    joined = join_plans(before, now)
    assert [(c["mode"], c["fingerprint"]) for c in joined["cells"]] == [("", "1"), ("fused", "2")]
    assert joined["meters"] == now["meters"]
    before["meters"] = [{"use": "gone", "params": {}}]
    assert [m["use"] for m in join_plans(before, now)["meters"]] == ["gone", "m", "other"]


def declaring(*specs: MetricSpec, **messages: str) -> dict[str, object]:
    return {"metrics": Catalog.of(specs, messages).to_json()}


def test_metrics_of_both_calls_stay_declared_and_the_later_call_is_right() -> None:
    cell = ("a", 0, "cost", "1")
    before = plan(
        cell, **declaring(MetricSpec("x", unit="ms"), MetricSpec("y"), slow="slow", odd="odd")
    )
    now = plan(cell, **declaring(MetricSpec("z"), MetricSpec("x", unit="s"), slow="too slow"))
    joined = Catalog.from_json(join_plans(before, now)["metrics"])
    assert {name: spec.unit for name, spec in joined.specs.items()} == {"x": "s", "y": "", "z": ""}
    assert joined.messages == {"slow": "too slow", "odd": "odd"}
