"""Batches, padding, compilers, training's two phases, and mistakes of users."""

from dataclasses import replace

import pytest
import torch
from family_trials import draw_images, draw_targets, learn_without_boxes, losses_of
from nanodet_golden import build
from pydantic import ValidationError
from torch import nn

from harness.errors import UserError
from harness.model.one_stage import OneStageDetector
from harness.model.parts import TrainingMaps
from harness.plugin.testing import check_images_stand_alone
from harness_plugins.nanodet.ghost_pan import GhostPan
from harness_plugins.nanodet.params import NanoDetHeadParams
from harness_plugins.nanodet.shufflenet import ShuffleNetV2

CLASSES = 4


def varied(side: int = 128, **settings: object) -> OneStageDetector:
    """Small, with weights that find things."""
    torch.manual_seed(0)
    detector = build(side, CLASSES, **settings)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.8, 1.2)
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return detector.eval()


def test_detections_do_not_depend_on_the_batch() -> None:
    detector = varied()
    check_images_stand_alone(detector, detector.preprocess(draw_images(3)), pixels=1e-2)


@torch.no_grad()
def test_detections_are_sorted_padded_and_inside() -> None:
    detector, images = varied(detections=20_000), draw_images(2)
    found = detector(detector.preprocess(images))
    assert found.boxes.shape == (2, 4 * len(detector.head.points), 4)
    assert (found.scores[:, 1:] <= found.scores[:, :-1]).all()
    padding = torch.arange(found.boxes.shape[1]) >= found.counts[:, None]
    assert padding.any()
    assert not found.boxes[padding].any()
    assert not found.scores[padding].any()
    assert not found.labels[padding].any()
    for i, image in enumerate(images):
        height, width = image.shape[1:]
        assert (found.boxes[i] >= 0).all()
        assert (found.boxes[i] <= torch.tensor([width, height] * 2)).all()
        assert found.boxes[i, :, 2].max() > 0.9 * width


@torch.no_grad()
def test_a_limit_on_candidates_changes_only_the_tail() -> None:
    images = draw_images(1)
    few, all_of_them = varied(candidates=50), varied(candidates=10**6)
    found = [d(d.preprocess(images)) for d in (few, all_of_them)]
    count = int(found[0].counts[0])
    assert 0 < count < found[1].counts[0]
    assert torch.equal(found[0].boxes[0, :count], found[1].boxes[0, :count])


@pytest.mark.parametrize("auxiliary", [True, False])
def test_every_parameter_learns(auxiliary: bool) -> None:
    detector = varied(auxiliary=auxiliary).train()
    losses = losses_of(detector, draw_targets([5, 0, 2], CLASSES))
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # a level without positives has no distances to scale
        assert parameter.grad.any() or name.startswith("aux_head.scales"), name


def test_detached_the_auxiliary_branch_moves_itself_alone() -> None:
    detector = varied(attached_epochs=2).train()
    targets = draw_targets([5, 1, 2], CLASSES)

    def moved_by_auxiliary(epoch: int) -> set[str]:
        detector.begin_epoch(epoch, 10)
        detector.zero_grad()
        losses = losses_of(detector, targets)
        torch.stack([v for k, v in losses.items() if k.startswith("aux_")]).sum().backward()
        moved = {n for n, p in detector.named_parameters() if p.grad is not None and p.grad.any()}
        return {name.partition(".")[0] for name in moved}

    assert moved_by_auxiliary(1) == {"backbone", "fpn", "aux_fpn", "aux_head"}
    assert moved_by_auxiliary(2) == {"aux_fpn", "aux_head"}


@pytest.mark.parametrize("width", [0, 5])
def test_images_without_boxes(width: int) -> None:
    losses = learn_without_boxes(varied().train(), width, CLASSES)
    assert losses["loss_qfl"] > 0
    assert losses["loss_bbox"] == losses["loss_dfl"] == losses["aux_loss_bbox"] == 0


def test_losses_compile_without_a_break_and_are_equal() -> None:
    """All that follows the convolutions, which the next test compiles."""
    head, targets = varied().head, draw_targets([5, 0, 2], CLASSES)
    generator = torch.Generator().manual_seed(5)
    rows = torch.randn(3, len(head.points), 4 + 32, generator=generator)
    given, outputs = TrainingMaps([], [], {}), head.split(rows)
    compiled = torch.compile(head.losses, fullgraph=True, backend="eager")
    eager, found = head.losses(outputs, targets, given), compiled(outputs, targets, given)
    assert len(eager) == 3
    for name, value in eager.items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.slow
@torch.no_grad()
def test_detecting_compiles_without_a_break_and_finds_the_same() -> None:
    detector = varied()
    inputs = detector.preprocess(draw_images(2))
    compiled = torch.compile(detector.forward, fullgraph=True, backend="eager")
    eager, found = detector(inputs), compiled(inputs)
    assert torch.equal(eager.counts, found.counts)
    torch.testing.assert_close(found.boxes, eager.boxes, rtol=1e-4, atol=1e-2)


@torch.no_grad()
def test_boxes_are_exact_under_autocast() -> None:
    head = varied().head
    outputs = head.split(torch.randn(1, len(head.points), 36))
    with torch.autocast("cpu", torch.bfloat16):
        found = head.boxes(outputs)
    assert torch.equal(found, head.boxes(outputs))


def test_a_kernel_is_odd() -> None:
    with pytest.raises(ValidationError, match="should be odd"):
        NanoDetHeadParams(kernel=4)


def test_a_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"images of 300x300 \(the sides must be multiples of 32: 288x288 or"
    ):
        build(300)


def test_a_class_beyond_the_head_is_refused() -> None:
    targets = draw_targets([5, 1, 2], CLASSES)
    beyond = replace(targets, labels=targets.labels + 1)
    line = "a box has class 4, but the head has 4 classes, from 0"
    with pytest.raises(UserError, match=line):
        losses_of(varied(), beyond)


def test_channels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="ghost_pan has 95 channels"):
        build(320, channels=95)
    with pytest.raises(UserError, match="maps of one width, a multiple of 16"):
        build(320, channels=40)
    assert build(320, channels=40, auxiliary=False)


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (96, 160), (416, 416)])
def test_parts_give_the_maps_that_they_declare(size: tuple[int, int]) -> None:
    backbone = ShuffleNetV2().eval()
    neck = GhostPan(backbone.out_features).eval()
    maps = backbone(torch.zeros(1, 3, *size))
    for part, found in ((backbone, maps), (neck, neck(maps))):
        wanted = [(f.channels, *(-(-side // f.stride) for side in size)) for f in part.out_features]
        assert [tuple(x.shape[1:]) for x in found] == wanted
    assert [f.stride for f in neck.out_features] == [8, 16, 32, 64]
