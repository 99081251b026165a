"""The shipped parts keep the contract that authors of plugins are held to."""

import pytest

from harness.conformance.kit import check_entry
from harness.conformance.plain_parts import BACKBONE, NECK
from harness.plugin.declarations import PART_KINDS
from harness.plugin.manager import load_plugins
from harness.plugin.testing import check_architecture, check_roi_op, pyramid

LEVELS = {"strides": [8, 16], "finest_scale": 30}
PARAMS = {
    "timm": {"model": "mobilenetv3_small_050", "out_indices": [2, 3, 4]},
    "psroi_align_max": LEVELS,
    "psroi_align_mean": LEVELS,
    "roi_align": LEVELS,
}
REGISTRY = load_plugins()
SHIPPED = [
    (kind, entry.declaration.name)
    for kind in PART_KINDS
    for entry in REGISTRY.entries(kind)
    if entry.provider.origin == "harness"
]


def part(kind: str, name: str):
    return REGISTRY.get(kind, name).declaration


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_a_shipped_part(kind: str, name: str):
    verdict = check_entry(part(kind, name), PARAMS.get(name))
    assert not verdict.unchecked
    # it counts the boxes of each map on a CPU, which breaks the graph there and saves work
    known = [p for p in verdict.problems if name == "roi_align" and "`nowhere, *counts" in p]
    assert list(verdict.problems) == known
    assert (verdict.cost is None) == (kind == "roi_op")


def test_all_kinds_of_parts_are_shipped():
    assert {kind for kind, _ in SHIPPED} == set(PART_KINDS)
    assert len(SHIPPED) >= 15


def test_a_roi_op_on_maps_of_its_own():
    declaration = part("roi_op", "psroi_align_mean")
    params = {"strides": [4, 8], "finest_scale": 20, "channels": 2, "size": 3}
    verdict = check_roi_op(declaration, params, in_features=pyramid(18, 18, 7, finest=4))
    assert verdict.problems == ()


@pytest.mark.slow
def test_an_architecture_with_parts():
    maps = {"features": pyramid(8, 8)}
    parts = {
        "backbone": (BACKBONE, maps),
        "neck": (NECK, maps),
        "dense_head": (part("dense_head", "yolox_head"), {"hidden": 8}),
    }
    verdict = check_architecture(part("architecture", "one_stage"), parts, sizes=[(64, 96)])
    assert verdict.problems == ()
