"""Names, shapes, parameters and multiply-adds of the published detector, and its checkpoints."""

import json
from pathlib import Path

import pytest
import torch
from nanodet_golden import build
from reference_data import DATA
from torch import Tensor

import harness
from harness.errors import UserError
from harness.model.checkpoint import (
    Checkpoint,
    load_backbone,
    load_detector,
    read_checkpoint,
)
from harness.stages.inputs import CostInput
from harness_plugins.meters.macs_paper import MacsPaper
from harness_plugins.meters.parameters import Parameters

GREY = CostInput(torch.full((3, 480, 640), 127, dtype=torch.uint8))
# by the published modules (counts.json beside the figures): convolutions, then biases
MACS = {
    320: {"backbone": 246127200, "neck": 132369600, "head": 72216000 + 238000},
    416: {"backbone": 415954968, "neck": 223861440, "head": 122274432 + 402976},
}
TOTALS = {320: 450712800 + 238000, 416: 762090840 + 402976}
BUDGET = Path(__file__).parents[3] / "suites" / "budget.yaml"
PARAMETERS = {"": 1197924, "backbone": 776420, "neck": 282048, "head": 139456}


def test_state_dict_is_the_published_one_in_its_order() -> None:
    published = json.loads((DATA / "state_dict_nanodet_plus_m.json").read_text())
    for side in (320, 416):
        state = build(side).state_dict()
        assert {name: list(value.shape) for name, value in state.items()} == published
        assert list(state) == list(published)


def test_parameters() -> None:
    detector = build(320)
    assert sum(p.numel() for p in detector.parameters()) == 4330904
    counted = {m.scope.removeprefix("role/"): m.count for m in Parameters()(detector, GREY)}
    assert counted == PARAMETERS


@pytest.mark.parametrize("side", [320, 416])
def test_multiply_adds(side: int) -> None:
    with torch.no_grad():
        measured = MacsPaper()(build(side).eval(), GREY)
    counted = {m.scope.removeprefix("role/"): m.count for m in measured}
    assert counted == {"": TOTALS[side], **MACS[side]}
    assert not any(m.warnings for m in measured)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return build(320).state_dict()


def saved(weights: dict[str, Tensor], path: Path, *, averaged: bool, auxiliary: bool) -> Checkpoint:
    """As the published program saves: by Lightning, or only what inference needs."""
    state = {k: v for k, v in weights.items() if auxiliary or not k.startswith("aux_")}
    if averaged:
        zeros = {f"model.{k}": torch.zeros_like(v) for k, v in state.items()}
        state = zeros | {f"avg_model.{k}": v for k, v in state.items()}
    torch.save({"state_dict": state, "epoch": 299, "global_step": 366}, path)
    return read_checkpoint(path)


@pytest.mark.slow
@pytest.mark.parametrize("averaged", [True, False], ids=["lightning", "plain"])
@pytest.mark.parametrize("auxiliary", [True, False], ids=["for training", "for inference"])
def test_a_published_checkpoint_loads(
    weights: dict[str, Tensor], tmp_path: Path, averaged: bool, auxiliary: bool
) -> None:
    detector = build(416)
    file = saved(weights, tmp_path / "m.ckpt", averaged=averaged, auxiliary=auxiliary)
    report = load_detector(detector, file)
    assert report.complete
    assert report.loaded == (887 if auxiliary else 645)
    found = detector.state_dict()
    for name, value in weights.items():
        if auxiliary or not name.startswith("aux_"):
            assert torch.equal(found[name], value)


def test_a_checkpoint_of_another_class_count_is_refused(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    file = saved(weights, tmp_path / "m.ckpt", averaged=True, auxiliary=True)
    with pytest.raises(UserError) as caught:
        load_detector(build(320, num_classes=3), file)
    line = str(caught.value)
    assert "head.gfl_cls.0.weight ((112, 96, 1, 1) in the file, (35, 96, 1, 1) here)" in line
    assert "number of classes" in line


def test_imagenet_weights_of_torchvision_fit_the_backbone(tmp_path: Path) -> None:
    from torchvision.models import shufflenet_v2_x1_0

    torch.save(shufflenet_v2_x1_0().state_dict(), tmp_path / "imagenet.pth")
    report = load_backbone(build(320).backbone, read_checkpoint(tmp_path / "imagenet.pth"))
    assert not report.missing
    assert not report.mismatched
    assert {name.partition(".")[0] for name in report.unexpected} == {"conv5", "fc"}


@pytest.mark.parametrize("width", [0.5, 1.0, 1.5, 2.0])
def test_every_width_is_torchvisions(width: float) -> None:
    from torchvision import models

    from harness_plugins.nanodet.shufflenet import ShuffleNetV2

    other = getattr(models, f"shufflenet_v2_x{width}".replace(".", "_"))().state_dict()
    own = ShuffleNetV2(width).state_dict()
    assert own.keys() == {k for k in other if not k.startswith(("conv5", "fc"))}
    assert all(other[k].shape == v.shape for k, v in own.items())


def test_the_suites_detector_is_this_one() -> None:
    detector = harness.build(BUDGET, "nanodet_plus_m_416", classes=80)
    assert detector.state_dict().keys() == build(416).state_dict().keys()
    assert detector.resize == build(416).resize
    assert detector.training_only == ("aux_fpn.", "aux_head.")
    image = GREY.image
    torch.testing.assert_close(
        detector.preprocess([image]).pixels, build(416).preprocess([image]).pixels
    )


def test_a_size_that_does_not_divide_is_one_line() -> None:
    with pytest.raises(UserError) as caught:
        harness.build(
            BUDGET, "nanodet_plus_m_320", classes=3,
            overrides=["detectors.nanodet_plus_m_320.input.size=300"],
        )  # fmt: skip
    assert str(caught.value) == (
        "detectors.nanodet_plus_m_320 dense_head 'nanodet_head': nanodet_head is given images of "
        "300x300 (the sides must be multiples of 32: 288x288 or 320x320 would do)"
    )
