"""Which weights a detector of a run starts with."""

from pathlib import Path

import pytest
import torch

import harness
from harness.errors import UserError
from harness.manifest.suite import load_manifest
from harness.plan.cells import Plan
from harness.plan.planner import make_plan
from harness.plugin.manager import load_plugins
from harness.run.detectors import build_detector

SUITE = Path(__file__).parents[2] / "suites" / "tinydet.yaml"
CLASSES = ["a", "b", "c"]


def plan(*overrides: str, stages: tuple[str, ...] = (), of: str = "tinydet_s") -> Plan:
    manifest = load_manifest(SUITE, None, overrides)
    return make_plan(manifest, load_plugins(), only=[of], stages=stages, classes=CLASSES)


@pytest.fixture(scope="module")
def of_eight_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "eight.pt"
    torch.save(harness.build(SUITE, "tinydet_s", classes=8).state_dict(), path)
    return path


def test_training_starts_from_what_fits_and_lists_the_rest(of_eight_classes: Path):
    weighted = build_detector(
        plan(f"detectors.tinydet_s.checkpoint={of_eight_classes}"), "tinydet_s", 1
    )
    stored = torch.load(of_eight_classes, weights_only=True)
    own = weighted.detector.state_dict()
    assert torch.equal(own["neck.fpn_convs.0.0.weight"], stored["neck.fpn_convs.0.0.weight"])
    listed = "\n".join(weighted.notes)
    assert "bbox_head.fc_cls.weight" in listed
    assert "bbox_head.fc_cls.bias" in listed
    assert "neck" not in listed


def test_without_training_everything_must_fit(of_eight_classes: Path):
    made = plan(f"detectors.tinydet_s.checkpoint={of_eight_classes}", stages=("evaluate",))
    with pytest.raises(UserError, match=r"another detector.*bbox_head\.fc_cls\.weight"):
        build_detector(made, "tinydet_s", 0)


def test_a_backbone_file_loads_into_the_backbone_and_its_classifier_is_listed(tmp_path: Path):
    backbone = harness.build(SUITE, "tinydet_s", classes=3).backbone.state_dict()
    path = tmp_path / "mobilenetv3_d.pt"
    torch.save({**backbone, "classifier.0.weight": torch.zeros(3)}, path)
    weighted = build_detector(
        plan(f"detectors.tinydet_s.backbone_checkpoint={path}"), "tinydet_s", 1
    )
    own = weighted.detector.state_dict()
    assert all(torch.equal(own[f"backbone.{name}"], value) for name, value in backbone.items())
    assert any("classifier.0.weight" in note for note in weighted.notes)


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("backbone_checkpoint=x.pt", "decides on backbone_checkpoint"),
        ("neck=tiny_fpn", "takes no parts, but has neck"),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(setting: str, found: str):
    with pytest.raises(UserError, match=found):
        plan(f"detectors.ssdlite320.{setting}", of="ssdlite320")


def test_two_sources_of_weights_are_one_too_many():
    both = [f"detectors.tinydet_s.{key}=x.pt" for key in ("checkpoint", "backbone_checkpoint")]
    with pytest.raises(UserError, match="not both"):
        load_manifest(SUITE, None, both)
