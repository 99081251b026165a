"""What is wrong with a part is found and named, by the kit and on the command line."""

from pathlib import Path

import pytest
from faulty_parts import write_plugin

from harness.plugin.manager import load_plugins
from harness.plugin.testing import NonconformingError, check_backbone

UNCOUNTED = """
import harness
from harness.plugin import Backbone, NoParams

@harness.hookimpl
def harness_backbones():
    return [Backbone("uncounted", "uncounted:build", NoParams, "its weights are no module's")]

def build():
    import torch
    from harness.model.features import FeatureSpec

    class Bare(torch.nn.Module):
        out_features = (FeatureSpec("c3", 4, 8),)

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(4, 3, 8, 8))

        def forward(self, pixels):
            return [torch.nn.functional.conv2d(pixels, self.weight, stride=8)]

    return Bare()
"""
FOUND = {
    "channels": ["level 0 (c3) says 16 channels, and gives 8"],
    "loop": ["compiling breaks at line ", "a Python loop over the values of a tensor"],
    "branch": ["compiling breaks at line ", "a branch on the values of a tensor"],
    "gradient": ["no gradient reaches: second.weight, second.bias, third.weight, third.bias"],
    "neighbours": ["c4 of an image depends on the others of its batch"],
    "nan": ["c3 is not finite for a blank image"],
    "shape": ["the shape of c4 depends on what is in the image"],
    "raises": ["fails on images of 64x64: ValueError: no such size"],
}


def load(folder: Path, name: str, fault: str):
    registry = load_plugins([str(write_plugin(folder, name, fault))])
    return registry.get("backbone", name).declaration


def test_a_right_one_passes_and_is_counted(tmp_path: Path):
    verdict = check_backbone(load(tmp_path, "pair_right", "right"), {"width": 4})
    assert verdict.problems == ()
    counted = verdict.cost.amounts
    assert counted["parameters"] * 1e6 == (3 * 64 + 1) * 4 + (4 * 4 + 1) * 4 + (4 + 1) * 4
    cells = 16 * 24  # of 8 pixels, in an image of 128x192
    expected = cells * 4 * (3 * 64 + 1) + cells / 4 * 4 * (4 * 4 + 1) + cells / 4 * 4 * (4 + 1)
    assert counted["macs_paper"] * 1e6 == expected


@pytest.mark.parametrize("fault", FOUND)
def test_a_fault_is_named(tmp_path: Path, fault: str):
    declaration = load(tmp_path, f"pair_{fault}", fault)
    with pytest.raises(NonconformingError) as caught:
        check_backbone(declaration)
    assert caught.value.what == f"backbone 'pair_{fault}'"
    for text in FOUND[fault]:
        assert any(text in problem for problem in caught.value.problems), caught.value
    assert str(caught.value).count("\n- ") == len(caught.value.problems)


def test_what_no_meter_counts_is_named(tmp_path: Path):
    path = tmp_path / "uncounted.py"
    path.write_text(UNCOUNTED)
    declaration = load_plugins([str(path)]).get("backbone", "uncounted").declaration
    with pytest.raises(NonconformingError) as caught:
        check_backbone(declaration)
    [problem] = caught.value.problems
    assert problem.startswith("macs_paper counts nothing of it: not counted: 0.295 MMACs of ")
