"""The suites' published costs, measured here on what they were published for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import harness
from harness.records.record import Record
from harness.results.claims import JudgedClaim, judge_claims
from harness.results.run import Run, known_metrics
from harness.stages.cost import measure_cost
from harness_plugins.meters.fvcore_counts import MacsFvcore
from harness_plugins.meters.macs_paper import MacsPaper
from harness_plugins.meters.parameters import Parameters

Meter = type[MacsPaper] | type[MacsFvcore]
SUITES = Path(__file__).parents[2] / "suites"


def judge_costs(
    name: str, classes: int, suite: str = "tinydet", macs: Meter = MacsPaper
) -> dict[str, JudgedClaim]:
    """Metric -> verdict on each published cost of a detector for that many classes."""
    torch.manual_seed(0)
    names, manifest = [str(i) for i in range(classes)], SUITES / f"{suite}.yaml"
    published: list[dict[str, Any]] = yaml.safe_load(manifest.read_text())["published"]
    detector = harness.build(manifest, name, classes=names)
    image = torch.randint(0, 256, (3, 320, 320), dtype=torch.uint8)
    cell = {"run": "r", "detector": name, "seed": 0, "stage": "cost", "fingerprint": "f"}
    about: dict[str, Any] = {**cell, "time": 1.0, "environment": "e"}
    measured = measure_cost(detector, [macs(), Parameters()], image)
    specs = known_metrics().specs
    records = [Record.of(m, specs[m.metric], **about) for m in measured]
    records.append(replace(records[-1], kind="cell", metric=""))
    costs = [c for c in published if c["detector"] == name and not c["metric"].startswith("ap")]
    plan = {"classes": names, "detectors": {name: {}}, "published": costs}
    run = Run(Path("run"), plan, tuple(records), known_metrics())
    return {v.claim.metric: v for v in judge_claims(run)}


@pytest.mark.parametrize("name", ["tinydet_s", "tinydet_m", "tinydet_l"])
def test_tinydets_published_multiply_adds_are_reproduced(name: str) -> None:
    (verdict,) = judge_costs(name, 80).values()
    assert (verdict.verdict, verdict.reason) == ("reproduced", "equal within rounding")


def test_ssdlites_published_costs_are_reproduced_for_its_90_outputs() -> None:
    found = judge_costs("ssdlite320", 90)
    assert found["parameters"].verdict == "reproduced"
    assert found["macs_paper"].verdict == "reproduced"
    assert found["macs_paper"].expected == 583
    eighty = judge_costs("ssdlite320", 80)["parameters"]
    assert eighty.reason == "other number of classes: 80 here, 90 published"


def test_faster_rcnns_published_costs_hold_for_something_else() -> None:
    found = judge_costs("fasterrcnn320", 90)
    assert found["macs_paper"].reason == "the claim does not say its number of proposals"
    # its batch norms are frozen and not counted; ours learn
    assert found["parameters"].verdict == "not reproduced"
    assert found["parameters"].reason == "+0.0244 from the published figure"


@pytest.mark.parametrize("name", ["nanodet_plus_m_320", "nanodet_plus_m_416"])
def test_nanodets_published_costs_are_reproduced(name: str) -> None:
    found = judge_costs(name, 80, "budget")
    assert {metric: v.verdict for metric, v in found.items()} == {
        "macs_paper": "reproduced", "parameters": "reproduced",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "measured"), [("picodet_s_320", 361), ("picodet_s_416", 611)])
def test_picodets_published_costs_are_reproduced(name: str, measured: float) -> None:
    found = judge_costs(name, 80, "budget", MacsFvcore)
    assert found["parameters"].reason == "equal within rounding"
    assert found["macs_fvcore"].reason == "equal within the stated tolerance"
    assert found["macs_fvcore"].measured.value == pytest.approx(measured, abs=1)
