"""The plan of a run that is called again: all that it was asked for, in every call."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.plan.cells import STAGES, Cell, digest
from harness.plugin.catalog import Catalog

Json = Mapping[str, Any]


def join_plans(before: Json, now: Json) -> dict[str, Any]:
    """Two plans of one run as `resolved` gives them.

    Detectors, cells and meters are those of both; what both have, and all the rest, is as `now`
    says. Detectors keep the order of the suite as far as two parts of it tell.
    """
    names = join_orders(list(before["detectors"]), list(now["detectors"]))
    detectors = {**before["detectors"], **now["detectors"]}
    own = {Cell.of(cell).place: cell for cell in [*before["cells"], *now["cells"]]}
    place = {name: i for i, name in enumerate(names)}
    cells = sorted(
        own.values(), key=lambda c: (place[c["detector"]], c["seed"], STAGES.index(c["stage"]))
    )
    return {
        **now,
        "fingerprint": digest([cell["fingerprint"] for cell in cells]),
        "detectors": {name: detectors[name] for name in names},
        # one of each name, the last
        "meters": list({m["use"]: m for m in [*before.get("meters", []), *now["meters"]]}.values()),
        "metrics": _join_metrics(before.get("metrics"), now["metrics"]),
        "cells": cells,
    }


def join_orders(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """All names of two parts of one order; without a common name no order is known but that."""
    joined = list(first)
    at = next((joined.index(name) for name in second if name in joined), len(joined))
    for name in second:
        if name in joined:
            at = joined.index(name) + 1
        else:
            joined.insert(at, name)
            at += 1
    return joined


def _join_metrics(before: Json | None, now: Json) -> Json:
    """Of both; what both know, as `now` says."""
    return Catalog.from_json(now).joined(Catalog.from_json(before)).to_json() if before else now
