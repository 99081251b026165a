"""PicoDet whole: decoding, batches, compilers, losses, training, and mistakes of users."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
import torch
from family_trials import (
    assert_all_norms_are_folded,
    assert_compiles_whole,
    assert_weights_make_the_detector,
    draw_images,
    draw_targets,
    fuse_and_compare,
    learn_without_boxes,
    losses_of,
)
from picodet_building import build
from torch import nn

import harness
from harness.data.batch import Targets
from harness.data.loader import train_loader
from harness.errors import UserError
from harness.files import read_json_lines
from harness.manifest.schema import Train
from harness.model.distribution_head import PointOutputs
from harness.model.one_stage import OneStageDetector
from harness.model.parts import TrainingMaps
from harness.ops.boxes import giou_losses
from harness.plugin import Trainee
from harness.plugin.testing import check_images_stand_alone
from harness.stages.train.loop import train
from harness_plugins.picodet.recipe import published
from harness_plugins.picodet.varifocal import varifocal_sum
from harness_plugins.synthetic.source import SyntheticSource

BUDGET = Path(__file__).parents[3] / "suites" / "budget.yaml"
CLASSES = 4
LOSSES = ("loss_vfl", "loss_bbox", "loss_dfl")


@torch.no_grad()
def varied(side: int = 128, seed: int = 0, **settings: object) -> OneStageDetector:
    """With weights that find things and batch norms that matter."""
    torch.manual_seed(seed)
    detector = build(side, CLASSES, **settings)
    norms = [m for m in detector.modules() if isinstance(m, nn.BatchNorm2d)]
    for module in detector.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    for norm in norms:
        norm.momentum = None  # it takes the statistics of the next pass
    detector.train().network(detector.preprocess(draw_images(2)))
    for norm in norms:
        norm.momentum = 0.1
        nn.init.uniform_(norm.weight, 0.8, 1.2)
        nn.init.normal_(norm.bias, std=0.1)
    return detector.eval()


@torch.no_grad()
def test_a_fresh_detector_starts_at_the_prior() -> None:
    torch.manual_seed(0)
    detector = build(320).eval()
    assert all(torch.equal(c.bias, torch.full((112,), -4.59511985)) for c in detector.head.gfl_cls)
    found = detector.network(detector.preprocess([torch.zeros(3, 32, 32, dtype=torch.uint8)]))
    assert found.head.logits.sigmoid().mean().item() == pytest.approx(0.01, rel=0.05)


@torch.no_grad()
@pytest.mark.parametrize(("side", "points"), [(320, 2125), (416, 3598)])
def test_outputs_of_four_levels(side: int, points: int) -> None:
    detector = build(side).eval()
    found = detector.network(detector.preprocess(draw_images(2))).head
    assert found.logits.shape == (2, points, 80)
    assert found.sides.shape == (2, points, 32)


@torch.no_grad()
def test_decoding_by_hand() -> None:
    """A box at the 19th cell of stride 8, whose centre is (20, 12): one, two, two and three strides
    and a half away are its sides."""
    head = build(128, CLASSES).head
    logits = torch.full((1, len(head.points), CLASSES), -9.0)
    logits[0, 18, 2], logits[0, 18, 1] = 1.0, -3.0
    sides = torch.zeros(1, len(head.points), 4, 8)
    for side, bins in enumerate([(1,), (2,), (2,), (3, 4)]):
        sides[0, 18, side, list(bins)] = 50.0
    found = head.decode(PointOutputs(logits, sides.flatten(2)))
    assert head.points[18].tolist() == [20, 12, 8]
    assert found.counts.tolist() == [2]
    assert found.labels[0, :2].tolist() == [2, 1]
    torch.testing.assert_close(found.scores[0, :2], torch.tensor([1.0, -3.0]).sigmoid())
    box = torch.tensor([12.0, 0, 36, 40])  # the upper side is clipped
    torch.testing.assert_close(found.boxes[0, :2], box.expand(2, 4))


def test_what_is_selected() -> None:
    assert build(64).selection == {
        "score_threshold": 0.025,
        "nms": "NMS, IoU 0.6, of the best 8192",
        "detections_per_image": 100,
    }


def test_detections_do_not_depend_on_the_batch() -> None:
    detector = varied()
    check_images_stand_alone(detector, detector.preprocess(draw_images(3)), pixels=1e-2)


def test_fused_finds_what_eager_finds() -> None:
    detector = varied()
    assert_all_norms_are_folded(detector, fuse_and_compare(detector, draw_images(2)))


@pytest.mark.slow
def test_detecting_compiles_without_a_break() -> None:
    assert_compiles_whole(varied(), draw_images(2))


def test_losses_compile_without_a_break_and_are_equal() -> None:
    head, targets = varied().head, draw_targets([5, 0, 2], CLASSES, tiny=True)
    generator = torch.Generator().manual_seed(5)
    rows = torch.randn(3, len(head.points), CLASSES + 32, generator=generator)
    given, outputs = TrainingMaps([], [], {}), head.split(rows)
    compiled = torch.compile(head.losses, fullgraph=True, backend="eager")
    eager, found = head.losses(outputs, targets, given), compiled(outputs, targets, given)
    assert tuple(eager) == LOSSES
    for name, value in eager.items():
        torch.testing.assert_close(found[name], value)


def test_losses_by_their_words() -> None:
    """From the assignment, point by point: which weights, and what each is divided by."""
    head, targets = varied().head, draw_targets([5, 0, 2], CLASSES, tiny=True)
    generator = torch.Generator().manual_seed(5)
    rows = torch.randn(3, len(head.points), CLASSES + 32, generator=generator)
    outputs = head.split(rows)
    found = head.losses(outputs, targets, TrainingMaps([], [], {}))
    assigned, boxes = head.assign(outputs, targets), head.boxes(outputs)
    quality, of_boxes, of_sides, weights = torch.zeros_like(outputs.logits), [], [], []
    for i, p in assigned.positive.nonzero().tolist():
        g = int(assigned.matched[i, p])
        truth, (x, y, stride) = targets.boxes[i, g], head.points[p].tolist()
        quality[i, p, targets.labels[i, g]] = assigned.quality[i, p]
        weights.append(float(outputs.logits[i, p].sigmoid().max()))
        of_boxes.append(float(giou_losses(boxes[i, p], truth)))
        left, top, right, bottom = truth.tolist()
        sides = [(x - left) / stride, (y - top) / stride, (right - x) / stride,
                 (bottom - y) / stride]  # fmt: skip
        logs = outputs.sides[i, p].view(4, 8).log_softmax(1)
        crosses = []
        for side, log in zip(sides, logs, strict=True):
            kept = min(max(side, 0.0), 6.9)
            low = int(kept)
            crosses.append(-float(log[low] * (low + 1 - kept) + log[low + 1] * (kept - low)))
        of_sides.append(mean(crosses))
    count, total = len(weights), sum(weights)
    assert count > 7
    assert total > 1
    products = [zip(values, weights, strict=True) for values in (of_boxes, of_sides)]
    boxes_sum, sides_sum = (sum(v * w for v, w in pairs) for pairs in products)
    wanted = {
        "loss_vfl": float(varifocal_sum(outputs.logits, quality)) / count,
        "loss_bbox": 2 * boxes_sum / total,
        "loss_dfl": 0.25 * sides_sum / total,
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(wanted, rel=1e-4)


def test_every_parameter_learns() -> None:
    detector = varied().train()
    losses = losses_of(detector, draw_targets([5, 0, 2], CLASSES, tiny=True))
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("width", [0, 5])
def test_images_without_boxes(width: int) -> None:
    losses = learn_without_boxes(varied().train(), width, CLASSES)
    assert losses["loss_vfl"] > 0
    assert losses["loss_bbox"] == losses["loss_dfl"] == 0


def test_an_image_without_boxes_adds_only_to_the_classes() -> None:
    head, targets = varied().head, draw_targets([5, 0], CLASSES, tiny=True)
    rows = torch.randn(2, len(head.points), CLASSES + 32)
    given = TrainingMaps([], [], {})
    alone = Targets(targets.boxes[:1], targets.labels[:1], targets.counts[:1])
    both = head.losses(head.split(rows), targets, given)
    one = head.losses(head.split(rows[:1]), alone, given)
    assert both["loss_vfl"] > one["loss_vfl"]
    torch.testing.assert_close(both["loss_bbox"], one["loss_bbox"])
    torch.testing.assert_close(both["loss_dfl"], one["loss_dfl"])


@pytest.mark.slow
def test_sixty_steps_on_the_synthetic_set_lower_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    source = SyntheticSource(train_images=24, val_images=1, side=224, seed=0)
    source.prepare()
    split = source.split("train")
    torch.manual_seed(0)
    detector = build(128, 5)
    settings = Train.model_validate(
        {
            "steps": 60, "batch_size": 4, "workers": 0, "log_every": 10, "augment": "flip",
            "optimizer": {"name": "adamw", "lr": 5e-3}, "schedule": {"warmup_steps": 5},
        }
    )  # fmt: skip
    train(
        detector,
        lambda rank, world: train_loader(split, detector.resize, settings, 0),
        settings,
        seed=0,
        folder=tmp_path / "run",
        device="cpu",
        resume=False,
        on_progress=None,
    )
    lines = list(read_json_lines(tmp_path / "run" / "train_log.jsonl"))
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50, 60]
    first, second, *_, last = ([line[name] for name in LOSSES] for line in lines)
    assert sum(last) < 0.85 * sum(first)
    assert last[0] < 0.75 * first[0]
    # boxes count as much as their points score, at first next to nothing
    assert all(after < 0.95 * before for before, after in zip(second, last, strict=True))


def test_a_checkpoint_makes_the_same_detector(tmp_path: Path) -> None:
    assert_weights_make_the_detector(varied(seed=1), varied(seed=2), tmp_path)


def test_a_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match=r"pico_head is given images of 300x300 \(the sides must"):
        build(300)


def test_a_class_beyond_the_head_is_refused() -> None:
    targets = draw_targets([5, 1, 2], CLASSES, tiny=True)
    beyond = replace(targets, labels=targets.labels + 1)
    with pytest.raises(UserError, match="a box has class 4, but the head has 4 classes, from 0"):
        losses_of(varied(), beyond)


@pytest.mark.parametrize("name", ["picodet_s_320", "picodet_s_416"])
def test_the_suites_detector_is_this_one(name: str) -> None:
    side = int(name.rpartition("_")[2])
    detector, other = harness.build(BUDGET, name, classes=80), build(side)
    assert {k: v.shape for k, v in detector.state_dict().items()} == {
        k: v.shape for k, v in other.state_dict().items()
    }
    assert detector.selection == other.selection
    image = draw_images(1)[0]
    pixels = detector.preprocess([image]).pixels
    assert pixels.shape == (1, 3, side, side)
    assert torch.equal(pixels, other.preprocess([image]).pixels)
    white = detector.preprocess([torch.full_like(image, 255)]).pixels
    levels = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    torch.testing.assert_close(white[0, :, 0, 0], levels, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("side", "given", "batches", "batch_size", "lr"),
    [
        (320, None, 4, 128, 0.4), (320, None, 1, 512, 0.4), (320, 64, 1, 64, 0.05),
        (416, None, 4, 80, 0.4), (416, 80, 1, 80, 0.1),
    ],
)  # fmt: skip
def test_the_published_recipe(
    side: int, given: int | None, batches: int, batch_size: int, lr: float
) -> None:
    parts: Mapping[str, Mapping[str, object]] = {}
    made = published(Trainee(parts, (side, side), given, batches))
    assert (made["batch_size"], made["epochs"]) == (batch_size, 300)
    assert made["optimizer"]["lr"] == pytest.approx(lr)
    assert made["optimizer"]["weight_decay"] == 4e-5
    settings = Train.model_validate(made)
    assert settings.ema_decay == 0.9998
    assert [use.use for use in settings.augment] == ["flip", "photometric"]
