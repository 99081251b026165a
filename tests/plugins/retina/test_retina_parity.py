"""The head equals torchvision's RetinaNet: names, outputs, anchors, matches, losses, detections."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.ops import box_iou

import harness
from harness.data.batch import Targets
from harness.model.candidates import suppress
from harness.model.checkpoint import load_weights, read_checkpoint
from harness.model.features import FeatureSpec
from harness.model.parts import TrainingMaps
from harness_plugins.retina.head import RetinaHead, join_cells, retina_head

BUDGET = Path(__file__).parents[3] / "suites" / "budget.yaml"
SIZE, CLASSES, CHANNELS = (128, 256), 5, 16
FEATURES = [FeatureSpec(f"p{i}", CHANNELS, 2**i) for i in range(3, 8)]
# what torchvision has by default
DEFAULTS: dict[str, Any] = {
    "depthwise": False,
    "norm": "none",
    "scales_per_octave": 3,
    "whole_pixels": True,
    "detections": 300,
}
GIVEN = TrainingMaps([], [], {})


def build_theirs(channels: int = CHANNELS, seed: int = 0) -> Any:
    """With weights that find things."""
    torch.manual_seed(seed)
    backbone = nn.Identity()
    backbone.out_channels = channels
    model = RetinaNet(backbone, CLASSES).eval()
    for conv in (m for m in model.head.modules() if isinstance(m, nn.Conv2d)):
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.normal_(conv.bias, std=0.1)
    nn.init.normal_(model.head.regression_head.bbox_reg.weight, std=0.02)
    nn.init.normal_(model.head.classification_head.cls_logits.bias, -4.0, 0.5)
    return model


def build_ours(theirs: Any, **params: Any) -> RetinaHead:
    given = {**DEFAULTS, "hidden": CHANNELS, **params}
    head = retina_head(FEATURES, num_classes=CLASSES, image_size=SIZE, **given).eval()
    head.load_state_dict(theirs.head.state_dict())
    return head


def draw_maps(seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = [(SIZE[0] // f.stride, SIZE[1] // f.stride) for f in FEATURES]
    return [torch.randn(4, CHANNELS, *size, generator=generator) for size in sizes]


def make_truths() -> list[dict[str, Tensor]]:
    """Images with boxes at borders, smaller than any anchor, in one another, none, and one."""
    rows = [
        [
            (0, 0, 40, 30), (216, 100, 256, 128), (100, 40, 164, 104), (101, 41, 163, 104),
            (60, 60, 66, 64), (61, 61, 67, 64), (0, 0, 256, 128), (250, 0, 256, 5),
        ],
        [],
        [(30, 20, 75, 50)],
    ]  # fmt: skip
    generator = torch.Generator().manual_seed(3)
    low = torch.rand(20, 2, generator=generator) * torch.tensor([250.0, 122.0])
    high = low + 5 + torch.rand(20, 2, generator=generator) * 90
    drawn = torch.cat([low, torch.minimum(high, torch.tensor([256.0, 128.0]))], 1)
    boxes = [*(torch.tensor(own, dtype=torch.float32).reshape(-1, 4) for own in rows), drawn]
    return [{"boxes": own, "labels": torch.arange(len(own)) % CLASSES} for own in boxes]


def pad(truths: list[dict[str, Tensor]]) -> Targets:
    most = max(len(own["labels"]) for own in truths)
    boxes = torch.zeros(len(truths), most, 4)
    labels = torch.zeros(len(truths), most, dtype=torch.int64)
    for i, own in enumerate(truths):
        boxes[i, : len(own["boxes"])], labels[i, : len(own["labels"])] = own["boxes"], own["labels"]
    return Targets(boxes, labels, torch.tensor([len(own["labels"]) for own in truths]))


def anchors_of(theirs: Any, maps: list[Tensor]) -> list[Tensor]:
    images = ImageList(torch.zeros(len(maps[0]), 3, *SIZE), [SIZE] * len(maps[0]))
    anchors: list[Tensor] = theirs.anchor_generator(images, maps)
    return anchors


def test_names_and_shapes_are_torchvisions() -> None:
    theirs = build_theirs()
    own = retina_head(
        FEATURES, num_classes=CLASSES, image_size=SIZE, hidden=CHANNELS, **DEFAULTS
    ).state_dict()
    assert [(name, value.shape) for name, value in own.items()] == [
        (name, value.shape) for name, value in theirs.head.state_dict().items()
    ]


def test_a_file_of_torchvisions_fills_the_head_of_a_detector(tmp_path: Path) -> None:
    theirs = build_theirs(channels=96)
    torch.save(theirs.state_dict(), tmp_path / "retinanet.pth")
    place = "detectors.retina_small.dense_head.params"
    layers = ("hidden=96", "depthwise=false", "norm=none", "scales_per_octave=3")
    sets = [f"{place}.{layer}" for layer in layers]
    detector = harness.build(BUDGET, "retina_small", classes=CLASSES, overrides=sets)
    report = load_weights(detector, read_checkpoint(tmp_path / "retinanet.pth"))
    assert not report.unexpected
    assert not report.mismatched
    assert not [name for name in report.missing if name.startswith("head.")]
    loaded = detector.state_dict()["head.classification_head.conv.3.0.weight"]
    assert torch.equal(loaded, theirs.state_dict()["head.classification_head.conv.3.0.weight"])


def test_anchors() -> None:
    theirs = build_theirs()
    ours = build_ours(theirs)
    assert torch.equal(ours.anchors, anchors_of(theirs, draw_maps())[0])
    levels = ours.anchor_levels(SIZE)
    assert [(level.stride, len(level.boxes)) for level in levels] == [
        (f.stride, 9 * (SIZE[0] // f.stride) * (SIZE[1] // f.stride)) for f in FEATURES
    ]


@torch.no_grad()
def test_outputs() -> None:
    theirs, maps = build_theirs(), draw_maps()
    ours = build_ours(theirs)
    wanted, found = theirs.head(maps), ours(maps)
    torch.testing.assert_close(join_cells(found.logits, CLASSES), wanted["cls_logits"])
    torch.testing.assert_close(join_cells(found.deltas, 4), wanted["bbox_regression"])


@torch.no_grad()
def test_matched_anchors() -> None:
    theirs, truths = build_theirs(), make_truths()
    ours = build_ours(theirs)
    found = ours.match(pad(truths))
    for own, matched in zip(truths, found, strict=True):
        if len(own["boxes"]):
            wanted = theirs.proposal_matcher(box_iou(own["boxes"], ours.anchors))
            assert torch.equal(matched, wanted)
            assert set(matched.tolist()) >= {-2, -1, 0}
        else:
            assert (matched == -1).all()


@pytest.mark.parametrize("box_loss", ["l1", "giou"])
def test_losses_and_gradients(box_loss: str) -> None:
    theirs, truths = build_theirs(), make_truths()
    ours = build_ours(theirs, box_loss=box_loss)
    theirs.head.regression_head._loss_type = box_loss
    maps = [x.requires_grad_() for x in draw_maps()]
    others = [x.detach().clone().requires_grad_() for x in maps]
    found = ours.losses(ours(maps), pad(truths), GIVEN)
    wanted = theirs.compute_loss(truths, theirs.head(others), anchors_of(theirs, others))
    names = {"loss_cls": "classification", "loss_bbox": "bbox_regression"}
    for name, other in names.items():
        torch.testing.assert_close(found[name], wanted[other], rtol=1e-5, atol=0)
    for losses in (found, wanted):
        torch.stack(list(losses.values())).sum().backward()
    gradients = dict(theirs.head.named_parameters())
    for name, parameter in ours.named_parameters():
        assert_near(parameter.grad, gradients[name].grad)
    for one, other in zip(maps, others, strict=True):
        assert_near(one.grad, other.grad)


def assert_near(found: Tensor | None, wanted: Tensor | None) -> None:
    assert found is not None
    assert wanted is not None
    assert wanted.any()
    off = float((found - wanted).norm() / wanted.norm())
    assert off < 1e-5


def test_no_image_with_boxes() -> None:
    theirs, maps = build_theirs(), draw_maps()
    ours, truths = build_ours(theirs), [make_truths()[1]] * 4
    found = ours.losses(ours(maps), pad(truths), GIVEN)
    wanted = theirs.compute_loss(truths, theirs.head(maps), anchors_of(theirs, maps))
    torch.testing.assert_close(found["loss_cls"], wanted["classification"], rtol=1e-5, atol=0)
    assert found["loss_bbox"] == wanted["bbox_regression"] == 0


@torch.no_grad()
def test_detections() -> None:
    """More pairs of the finest level, and more detections, than are kept."""
    theirs, maps = build_theirs(), draw_maps()
    ours = build_ours(theirs)
    outputs = ours(maps)
    found = suppress(ours.decode(outputs), ours.nms_iou, ours.detections)
    raw = theirs.head(maps)
    split = {name: list(rows.split(ours.level_sizes, 1)) for name, rows in raw.items()}
    assert ((split["cls_logits"][0].sigmoid() > 0.05).sum((1, 2)) > 1000).all()
    anchors = [list(own.split(ours.level_sizes)) for own in anchors_of(theirs, maps)]
    wanted = theirs.postprocess_detections(split, anchors, [SIZE] * 4)
    assert found.counts.tolist() == [len(own["scores"]) for own in wanted] == [300] * 4
    for i, own in enumerate(wanted):
        torch.testing.assert_close(found.scores[i], own["scores"], rtol=1e-6, atol=0)
        assert torch.equal(found.labels[i], own["labels"])
        torch.testing.assert_close(found.boxes[i], own["boxes"], rtol=0, atol=1e-3)
