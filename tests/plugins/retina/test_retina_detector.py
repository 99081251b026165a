"""RetinaNet's head in a detector: training, modes, cost, anchors, its recipe and bad input."""

from pathlib import Path
from typing import Any

import pytest
import torch
from family_trials import assert_compiles_whole, draw_images, fuse_and_compare, learn_one_batch
from pydantic import ValidationError
from torch import nn

import harness
from harness.data.batch import Targets
from harness.errors import UserError
from harness.model.features import FeatureSpec
from harness.plugin import Trainee
from harness.plugin.testing import check_dense_head, check_images_stand_alone, pyramid
from harness.records.store import read_run_records
from harness.stages.inputs import CostInput
from harness_plugins.meters.macs_paper import MacsPaper
from harness_plugins.retina import harness_dense_heads
from harness_plugins.retina.head import retina_head
from harness_plugins.retina.params import RetinaHeadParams
from harness_plugins.retina.recipe import published

pytestmark = pytest.mark.slow

BUDGET = Path(__file__).parents[3] / "suites" / "budget.yaml"
NAME = "retina_small"
GREY = CostInput(torch.full((3, 480, 640), 127, dtype=torch.uint8))
MAPS = pyramid(8, 8, 8)


def build(*params: str, side: int = 128, classes: int = 4) -> Any:
    """With a backbone of a few thousand weights."""
    place = f"detectors.{NAME}"
    sets = [
        f"{place}.input.size={side}",
        f"{place}.backbone.params.model=mobilenetv3_small_050",
        f"{place}.neck.params.channels=16",
        f"{place}.dense_head.params.hidden=16",
        *(f"{place}.dense_head.params.{param}" for param in params),
    ]
    torch.manual_seed(0)
    return harness.build(BUDGET, NAME, classes=classes, overrides=sets)


@torch.no_grad()
def varied(*params: str) -> Any:
    """With weights that find things, and batch norms that have seen images."""
    detector = build(*params)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
            module.momentum = 1.0
    nn.init.normal_(detector.head.classification_head.outputs.weight, std=0.5)
    nn.init.normal_(detector.head.regression_head.outputs.weight, std=0.05)
    detector.train().network(detector.preprocess(draw_images(3, alike=True)))
    return detector.eval()


def make_targets(*labels: list[int]) -> Targets:
    boxes = torch.tensor([[40.0, 30, 140, 150], [160, 60, 300, 200]])
    most = max(map(len, labels))
    padded = torch.zeros(len(labels), most, dtype=torch.int64)
    for i, own in enumerate(labels):
        padded[i, : len(own)] = torch.tensor(own)
    counts = torch.tensor([len(own) for own in labels])
    return Targets(boxes[:most].repeat(len(labels), 1, 1), padded, counts)


@pytest.mark.parametrize(
    "params",
    [  # as it is by itself: `tests/conformance`
        {"norm": "none", "depthwise": False, "hidden": 8, "convolutions": 1, "box_loss": "giou"},
        {"convolutions": 1, "scales_per_octave": 1, "ratios": [1.0], "whole_pixels": True},
    ],
)
def test_the_kit_passes_its_variants(params: dict[str, Any]) -> None:
    (declaration,) = harness_dense_heads()
    verdict = check_dense_head(declaration, params, in_features=MAPS)
    assert verdict.cost is not None


@pytest.mark.parametrize("depthwise", ["true", "false"])
def test_fused_finds_what_eager_finds(depthwise: str) -> None:
    detector = varied(f"depthwise={depthwise}")
    fused = fuse_and_compare(detector, draw_images(2, alike=True))
    layers = [m for n, m in fused.detector.head.named_modules() if hasattr(m, "fused")]
    assert len(layers) == 8
    assert all(len(layer.fused) == 4 for layer in layers)


def test_detections_do_not_depend_on_the_batch() -> None:
    detector = varied()
    check_images_stand_alone(detector, detector.preprocess(draw_images(3, alike=True)), pixels=1e-2)


def test_the_whole_compiles_without_a_break() -> None:
    assert_compiles_whole(varied(), draw_images(1))


@pytest.mark.parametrize("box_loss", ["l1", "giou"])
def test_losses_fall_on_one_batch_and_every_weight_learns(box_loss: str) -> None:
    detector = build(f"box_loss={box_loss}").train()
    first, *_, last = learn_one_batch(detector, make_targets([0, 3], [2]), steps=30, lr=3e-3)
    assert set(first) == {"loss_cls", "loss_bbox"}
    for name, value in last.items():
        assert value < 0.6 * first[name], name


def test_a_level_has_norms_of_its_own() -> None:
    head = retina_head(MAPS, num_classes=3, image_size=(64, 64), hidden=8).train()
    maps = [torch.full((1, 8, 64 // f.stride, 64 // f.stride), float(f.stride)) for f in MAPS]
    maps = [x + torch.randn(x.shape) for x in maps]
    head(maps)
    layer = head.classification_head.conv[0]
    means = [norm.running_mean for norm in layer.norms]
    assert len(means) == len(MAPS)
    assert not torch.allclose(means[0], means[2])
    convolutions = [name for name in head.state_dict() if name.endswith(".0.0.weight")]
    assert len(convolutions) == 2 * 4  # those of the levels are the same


@torch.no_grad()
def test_anchors_fill_the_octave_between_two_levels() -> None:
    head = retina_head(
        MAPS, num_classes=3, image_size=(64, 96), scales_per_octave=2, anchor_scale=2.5
    )
    levels = head.anchor_levels((64, 96))
    for spec, level in zip(MAPS, levels, strict=True):
        boxes = level.boxes.view(64 // spec.stride, 96 // spec.stride, 6, 4)
        sides = boxes[..., 2:] - boxes[..., :2]
        square = 2.5 * spec.stride * torch.tensor([1.0, 2**0.5]).repeat(3)
        torch.testing.assert_close(sides.prod(-1).sqrt(), square.expand(sides.shape[:3]))
        ratios = torch.tensor([0.5, 1, 2]).repeat_interleave(2)
        torch.testing.assert_close(sides[..., 1] / sides[..., 0], ratios.expand(sides.shape[:3]))
        centers = (boxes[1, 1, :, :2] + boxes[1, 1, :, 2:]) / 2
        torch.testing.assert_close(centers, torch.full((6, 2), float(spec.stride)))
    assert head.positive_iou == 0.5
    with pytest.raises(ValueError, match=r"images of \(64, 96\), not \(96, 64\)"):
        head.anchor_levels((96, 64))
    with pytest.raises(ValueError, match="features are not"):
        head([torch.zeros(1, 8, 8, 8)] * 3)


@torch.no_grad()
def test_an_object_that_no_anchor_touches_claims_none() -> None:
    head = retina_head(MAPS, num_classes=3, image_size=(64, 64))
    boxes = torch.tensor([[[4000.0, 4000, 4010, 4010], [20, 20, 50, 50]]])
    matched = head.match(Targets(boxes, torch.zeros(1, 2).long(), torch.tensor([2])))
    assert 1 in matched
    assert 0 not in matched


@torch.no_grad()
def test_multiply_adds_of_the_suites_detector() -> None:
    detector = harness.build(BUDGET, NAME, classes=80).eval()
    counted = {m.scope.removeprefix("role/"): m.count for m in MacsPaper()(detector, GREY)}
    cells = 1600 + 400 + 100 + 25

    def separable(before: int, after: int) -> int:
        return cells * (9 * before + before * after)

    towers = 2 * (separable(96, 64) + 3 * separable(64, 64))
    last = separable(64, 6 * 80) + separable(64, 6 * 4) + cells * 6 * 84
    assert counted["head"] == towers + last
    assert counted[""] < 1_000_000_000


def test_a_class_beyond_the_heads() -> None:
    detector = build(classes=3).train()
    inputs = detector.preprocess(draw_images(1))
    with pytest.raises(UserError, match="a box has class 3, but the head has 3 classes, from 0"):
        detector(inputs, make_targets([0, 3]))


def test_sizes_and_maps_that_do_not_fit() -> None:
    with pytest.raises(UserError) as caught:
        build(side=100)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"detectors.{NAME} dense_head 'retina_head': retina_head is given")
    assert "100x100 (the sides must be multiples of 64: 64x64 or 128x128 would do)" in line
    for features, hint in (
        (pyramid(8, 16), "the same number of channels on every map"),
        ((FeatureSpec("p3", 8, 8), FeatureSpec("p5", 8, 32)), "twice the stride"),
        ((), "one or more maps"),
    ):
        with pytest.raises(UserError, match=hint):
            retina_head(features, num_classes=3, image_size=(64, 64))


def test_limits_in_the_wrong_order() -> None:
    with pytest.raises(ValidationError, match="negative_iou should not be above positive_iou"):
        RetinaHeadParams(positive_iou=0.3)


@pytest.mark.parametrize(("batches", "batch_size"), [(1, 16), (8, 2), (32, 1)])
def test_the_published_recipe(batches: int, batch_size: int) -> None:
    train = published(Trainee({}, (320, 320), None, batches))
    assert train["batch_size"] == batch_size
    # 90,000 steps of 16 images, with drops at 60,000 and 80,000
    assert train["epochs"] * 117_266 / 16 == pytest.approx(90_000, rel=0.03)
    assert [round(m * 90_000) for m in train["schedule"]["milestones"]] == [60_000, 80_000]


def test_a_whole_run(cli: Any, tmp_path: Path, data: Path) -> None:
    place = f"detectors.{NAME}"
    sets = (
        "stages=[train,evaluate,cost,latency]", "meters=[coco_ap,macs_paper,latency]",
        "columns=[ap]", "evaluate.workers=0", f"{place}.train.workers=0",
        f"{place}.train.steps=4", f"{place}.train.batch_size=2", f"{place}.input.size=64",
        f"{place}.backbone.params.model=mobilenetv3_small_050",
        f"{place}.neck.params.channels=16", f"{place}.dense_head.params.hidden=8",
        "latency={modes: [eager, fused], runs: 2, images: 2, warmup_runs: 1, warmup_seconds: 0}",
    )  # fmt: skip
    chosen = [part for text in sets for part in ("--set", text)]
    done = cli("run", BUDGET, "--data", data, "--only", NAME, "--run-id", "r", *chosen)
    assert done.code == 0, done.err
    records = read_run_records(tmp_path / "results" / "budget" / "r")
    ends = [r for r in records if r.kind == "cell"]
    assert [(r.stage, r.status) for r in ends] == [
        (stage, "ok") for stage in ("train", "evaluate", "cost", "latency", "latency")
    ]
    scopes = {r.scope for r in records if r.metric == "macs_paper"}
    assert scopes == {"", "role/backbone", "role/neck", "role/head"}
