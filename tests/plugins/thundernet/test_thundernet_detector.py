"""ThunderNet whole: training, modes, checkpoints, and its recipe."""

from pathlib import Path

import pytest
import torch
from family_trials import (
    assert_all_norms_are_folded,
    assert_compiles_whole,
    assert_weights_make_the_detector,
    draw_images,
    fuse_and_compare,
    learn_one_batch,
)
from torch import nn

import harness
from harness.data.batch import Targets
from harness.model.two_stage import TwoStageDetector
from harness.plugin import Trainee
from harness.plugin.testing import check_images_stand_alone
from harness_plugins.thundernet.recipe import published

BUDGET = Path(__file__).parents[3] / "suites" / "budget.yaml"
NAME = "thundernet_snet49"


def build(side: int = 128) -> TwoStageDetector:
    sets = [f"detectors.{NAME}.input.size={side}"]
    made = harness.build(BUDGET, NAME, classes=4, overrides=sets)
    assert isinstance(made, TwoStageDetector)
    return made


def varied(seed: int = 0) -> TwoStageDetector:
    """With weights that find things and batch norms that matter."""
    detector = build()
    torch.manual_seed(seed)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
            nn.init.uniform_(module.weight, 0.8, 1.2)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    for conv in detector.neck.children():
        conv.weight.data.mul_(0.1)
    nn.init.normal_(detector.rpn.rpn_reg.weight, std=0.02)
    nn.init.normal_(detector.box_head.fc_cls.weight, std=0.2)
    return detector.eval()


def make_targets() -> Targets:
    boxes = torch.tensor([[[40.0, 30, 140, 150], [160, 60, 300, 200]], [[20, 40, 120, 220]] * 2])
    boxes[1, 1] = 0
    return Targets(boxes, torch.tensor([[0, 3], [2, 0]]), torch.tensor([2, 1]), torch.arange(2))


def test_fused_finds_what_eager_finds() -> None:
    detector = varied()
    fused = fuse_and_compare(detector, draw_images(2, alike=True))
    assert_all_norms_are_folded(detector, fused)


@torch.no_grad()
def test_the_detector_pools_the_attended_map() -> None:
    detector = varied()
    inputs = detector.preprocess(draw_images(1))
    (neck,) = detector.features(inputs.pixels)
    (attended,), outputs = detector.dense(inputs.pixels)
    torch.testing.assert_close(attended, neck * outputs.attention)
    whole = detector.network(inputs)
    pooled = detector.roi_pool([attended], whole.proposals.boxes)
    torch.testing.assert_close(whole.logits, detector.classify(pooled)[0])
    unattended = detector.classify(detector.roi_pool([neck], whole.proposals.boxes))[0]
    assert (whole.logits - unattended).abs().max() > 0.01


def test_detections_do_not_depend_on_the_batch() -> None:
    detector = varied()
    check_images_stand_alone(detector, detector.preprocess(draw_images(3)), pixels=1e-2)


@pytest.mark.slow
def test_the_whole_compiles_without_a_break() -> None:
    assert_compiles_whole(varied(), draw_images(1))


@pytest.mark.slow
def test_losses_fall_on_one_batch_and_every_weight_learns() -> None:
    first, *_, last = learn_one_batch(build().train(), make_targets(), steps=15, lr=1e-3)
    assert set(first) == {"loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox"}
    assert sum(last.values()) < 0.6 * sum(first.values())
    assert last["loss_rpn_cls"] < 0.6 * first["loss_rpn_cls"]
    assert last["loss_cls"] < 0.6 * first["loss_cls"]


def test_a_checkpoint_makes_the_same_detector(tmp_path: Path) -> None:
    assert_weights_make_the_detector(varied(seed=1), varied(seed=2), tmp_path)


@pytest.mark.parametrize(("batches", "batch_size"), [(1, 64), (4, 16), (128, 1)])
def test_the_published_recipe(batches: int, batch_size: int) -> None:
    train = published(Trainee({}, (320, 320), None, batches))
    assert train["batch_size"] == batch_size
    # 375,000 steps of 64 images
    assert train["epochs"] * 117_266 / 64 == pytest.approx(375_000, rel=0.005)
    assert train["schedule"]["milestones"] == [0.5, 0.75]
