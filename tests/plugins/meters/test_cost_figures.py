"""Costs of the shipped detectors: TinyDet's published figures, pinned; the rivals' sanity."""

from pathlib import Path

import pytest
import torch

from harness import build
from harness.stages.cost import measure_cost
from harness_plugins.meters.fvcore_counts import Activations, MacsFvcore
from harness_plugins.meters.macs_paper import MacsPaper
from harness_plugins.meters.parameters import Parameters

SUITE = Path(__file__).parents[3] / "suites" / "tinydet.yaml"
# arXiv 2304.03428 and its reference implementation: millions for one image, 80 classes
MACS = {
    "tinydet_s": (495.045, (347.461, 63.829, 16.171, 0.0, 67.584)),
    "tinydet_m": (990.630, (703.399, 154.773, 64.875, 0.0, 67.584)),
    "tinydet_l": (2426.764, (1796.881, 396.218, 166.081, 0.0, 67.584)),
}
ROLES = ("backbone", "neck", "rpn", "roi_op", "head")
FVCORE = {"tinydet_s": 510.42, "tinydet_m": 1012.73, "tinydet_l": 2483.35}
PARAMETERS = {"tinydet_s": 2_573_037, "tinydet_m": 5_120_706, "tinydet_l": 5_120_706}


def measure(name, *meters):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 240, 320), dtype=torch.uint8, generator=generator)
    detector = build(SUITE, name, classes=80)
    found = measure_cost(detector, meters, image)
    return {(m.metric, m.scope): m for m in found}


@pytest.mark.parametrize("name", MACS)
def test_tinydet_costs_what_the_paper_says(name):
    found = measure(name, MacsPaper(), Parameters())
    total, split = MACS[name]
    macs = found["macs_paper", ""]
    assert macs.value == pytest.approx(total, rel=1e-4)
    for role, expected in zip(ROLES, split, strict=True):
        assert found["macs_paper", f"role/{role}"].value == pytest.approx(expected, rel=1e-4)
    assert ("macs_paper", "role/other") not in found
    assert macs.warnings == ()
    assert macs.conditions["proposals"] == 200
    assert found["parameters", ""].count == PARAMETERS[name]
    assert found["parameters", ""].value == PARAMETERS[name] / 1e6


@pytest.mark.slow
@pytest.mark.parametrize("name", FVCORE)
def test_fvcore_counts_tinydet_as_it_counts_the_reference(name):
    found = measure(name, MacsFvcore(), Activations())
    assert found["macs_fvcore", ""].value == pytest.approx(FVCORE[name], rel=5e-3)
    unsupported = found["macs_fvcore", ""].conditions["unsupported_ops"]
    assert "harness::psroi_align_multilevel" in unsupported
    split = sum(
        m.count
        for (metric, scope), m in found.items()
        if (metric, scope[:4]) == ("macs_fvcore", "role")
    )
    assert split == found["macs_fvcore", ""].count
    assert found["activations", ""].value > 1


@pytest.mark.parametrize(
    ("name", "roles"), [("ssdlite320", ("backbone", "head")), ("fasterrcnn320", ROLES)]
)
def test_rivals_are_counted_by_role(name, roles):
    found = measure(name, MacsPaper(), MacsFvcore(), Parameters())
    assert {scope for metric, scope in found if metric == "macs_paper"} == {
        "",
        *(f"role/{role}" for role in roles),
    }
    paper, fvcore = found["macs_paper", ""], found["macs_fvcore", ""]
    # fvcore adds normalisation and pooling
    assert paper.value < fvcore.value < 1.1 * paper.value
    assert "not_counted" not in {warning.code for warning in paper.warnings}
    if name == "fasterrcnn320":
        number = paper.conditions["proposals"]
        head = found["macs_paper", "role/head"].count
        # 256 x 7 x 7 -> 1024 -> 1024 -> 81 scores and 4 x 81 deltas for each proposal
        assert head == number * (256 * 49 * 1024 + 1024 * 1024 + 1024 * 5 * 81)
