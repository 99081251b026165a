"""NanoDet-Plus-m against figures of the published program: from images to gradients."""

import numpy as np
import pytest
import torch
from nanodet_golden import build, check_values, golden_detector, golden_inputs, side_of
from reference_data import count_matched
from rival_golden import RivalGolden
from torch import Tensor, nn

from harness.data.batch import Targets
from harness.data.resize import WARPS_EXACTLY
from harness.model.distribution_head import PointOutputs
from harness.model.dynamic_k import count_points
from harness.model.one_stage import OneStageDetector, OneStageOutputs
from harness.model.parts import TrainingMaps
from harness.model.types import Detections
from harness.ops import pairwise_ious
from harness.ops.boxes import clip_boxes
from harness_plugins.nanodet.assignment import find_candidates, find_costs

LOSSES = ("loss_qfl", "loss_bbox", "loss_dfl")


@pytest.fixture(scope="session")
def detector(golden: RivalGolden) -> OneStageDetector:
    return golden_detector(golden)


@pytest.fixture(scope="session")
def outputs(golden: RivalGolden, detector: OneStageDetector) -> OneStageOutputs:
    with torch.no_grad():
        return detector.network(golden_inputs(golden, detector, "image"))


@pytest.mark.parametrize("key", ["pre0", "pre1"])
def test_preprocessing(golden: RivalGolden, detector: OneStageDetector, key: str) -> None:
    """Equal but for a grey level where a half is rounded."""
    name = f"pre.{key[-1]}"
    height, width = golden.figures[f"{name}.image_size"]
    inputs = detector.preprocess([golden.image(key, height, width)])
    found = inputs.pixels[0].reshape(-1)[torch.from_numpy(golden.figures[f"{name}.index"])]
    levels = np.abs(found.numpy() - golden.figures[f"{name}.value"]) * 58.4
    assert levels.max() <= 1.1
    assert (levels > 0.01).mean() <= 0.005
    matrix = golden.figures[f"{name}.warp_matrix"]
    torch.testing.assert_close(
        inputs.scales[0].double(), torch.tensor([matrix[1, 1], matrix[0, 0]])
    )


@torch.no_grad()
def test_feature_maps_and_head_outputs(golden: RivalGolden, detector: OneStageDetector) -> None:
    inputs = golden_inputs(golden, detector, "image")
    golden.check("input", inputs.pixels[0])
    maps = detector.backbone(inputs.pixels)
    pyramid = detector.fpn(maps)
    rows = joined(detector.head(pyramid)).split([x[0, 0].numel() for x in pyramid], 1)
    heads = [row.mT.unflatten(2, x.shape[2:]) for row, x in zip(rows, pyramid, strict=True)]
    for name, levels in {"backbone": maps, "neck": pyramid, "head": heads}.items():
        assert f"{name}.{len(levels)}.shape" not in golden.figures
        for i, level in enumerate(levels):
            golden.check(f"{name}.{i}", level)
    golden.check("aux_head", joined(guide_of(detector, maps, pyramid)))


def guide_of(detector: OneStageDetector, maps: list[Tensor], pyramid: list[Tensor]) -> PointOutputs:
    modules = {"aux_fpn": detector.aux_fpn, "aux_head": detector.aux_head}
    return detector.head.guide(TrainingMaps(maps, pyramid, modules))


def joined(outputs: PointOutputs) -> Tensor:
    return torch.cat([outputs.logits, outputs.sides], 2)


def test_decoded_boxes(
    golden: RivalGolden, detector: OneStageDetector, outputs: OneStageOutputs
) -> None:
    side, rows = side_of(golden), golden.figures["decoded.rows"]
    boxes = clip_boxes(detector.head.boxes(outputs.head), (side, side))[0]
    scores = outputs.head.logits[0].sigmoid()
    assert golden.figures["decoded.shape"].tolist() == [len(boxes), 4 + scores.shape[1]]
    check_values("boxes", boxes[rows], golden.figures["decoded.boxes"])
    check_values("scores", scores[rows], golden.figures["decoded.scores"])


def test_detections(
    golden: RivalGolden, detector: OneStageDetector, outputs: OneStageOutputs
) -> None:
    found = detector.postprocess(outputs, golden_inputs(golden, detector, "image"))
    passing = int((outputs.head.logits.sigmoid() > detector.head.params.min_score).sum())
    assert (
        abs(passing - golden.figures["candidates.count"])
        <= golden.figures["candidates.near_threshold"]
    )
    check_detections(found, golden.figures["det"])


def check_detections(found: Detections, stored: np.ndarray, least: float = 1.0) -> None:
    rows = torch.cat([found.boxes, found.scores[..., None], found.labels[..., None]], -1)[0]
    assert int(found.counts[0]) == len(stored)
    assert count_matched(rows, torch.from_numpy(stored).float(), 1.0, 1e-3) >= least * len(stored)


@pytest.mark.skipif(not WARPS_EXACTLY, reason="the figures are of OpenCV 5")
@torch.no_grad()
def test_from_an_image_to_detections(golden: RivalGolden, detector: OneStageDetector) -> None:
    found = detector(detector.preprocess([golden.image("pre0", 427, 640)]))
    check_detections(found, golden.figures["e2e.det"], least=0.97)


def train_without_statistics(detector: OneStageDetector) -> None:
    detector.train()
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


@pytest.mark.slow
@pytest.mark.parametrize("guided", [True, False], ids=["by the auxiliary head", "by itself"])
@torch.no_grad()
def test_assignment(golden: RivalGolden, guided: bool) -> None:
    detector = golden_detector(golden)
    train_without_statistics(detector)
    maps = detector.backbone(golden_inputs(golden, detector, "train0", "train1", "train2").pixels)
    pyramid, targets = detector.fpn(maps), golden.targets()
    outputs = guide_of(detector, maps, pyramid) if guided else detector.head(pyramid)
    found, name = detector.head.assign(outputs, targets), "assign" if guided else "assign_noaux"
    for i in range(3):
        points = found.positive[i].nonzero()[:, 0]
        assert points.tolist() == golden.figures[f"{name}.{i}.points"].tolist()
        assert found.matched[i, points].tolist() == golden.figures[f"{name}.{i}.gt"].tolist()
        if guided:
            golden_ious = golden.figures[f"assign.{i}.iou"]
            np.testing.assert_allclose(found.quality[i, points].numpy(), golden_ious, atol=1e-3)
    if guided:
        check_matrix(golden, detector, outputs, targets)


def check_matrix(
    golden: RivalGolden, detector: OneStageDetector, outputs: PointOutputs, targets: Targets
) -> None:
    """What the assignment is made from, of the images that have ground truths."""
    p, head = detector.head.params, detector.head
    candidates = find_candidates(head.points, targets)
    ious = pairwise_ious(targets.boxes, head.boxes(outputs)) * candidates[:, None]
    costs = find_costs(outputs.logits, ious, targets.labels, p.iou_weight)
    least = costs.masked_fill(~candidates[:, None], torch.inf).amin(2)
    counts = count_points(ious, p.largest)
    for i in range(2):
        own = slice(None, int(targets.counts[i]))
        assert int(candidates[i].sum()) == golden.figures[f"assign.{i}.candidate_count"]
        assert counts[i, own].tolist() == golden.figures[f"assign.{i}.dynamic_k"].tolist()
        check_values("costs", least[i, own], golden.figures[f"assign.{i}.cost_min"])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["loss", "loss_detached", "loss_noaux"])
def test_losses_and_gradients(golden: RivalGolden, way: str) -> None:
    """Attached as in epochs 0 to 9, detached as afterwards, and without the auxiliary branch."""
    detector = golden_detector(golden, auxiliary=way != "loss_noaux")
    train_without_statistics(detector)
    detector.begin_epoch(10 if way == "loss_detached" else 9, 300)
    inputs = golden_inputs(golden, detector, "train0", "train1", "train2")
    inputs.pixels.requires_grad_()
    losses = detector(inputs, golden.targets())
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    aux = () if way == "loss_noaux" else tuple(f"aux_{name}" for name in LOSSES)
    assert tuple(losses) == (*LOSSES, *aux)
    for name, value in {**losses, "total": total}.items():
        golden.check_number(f"{way}.{name}", value.item())
    if way != "loss_noaux":
        check_gradients(golden, detector, way, inputs.pixels.grad)


def check_gradients(
    golden: RivalGolden, detector: OneStageDetector, way: str, of_input: Tensor | None
) -> None:
    assert of_input is not None
    golden.check_number(f"{way}.input_grad_norm", of_input.norm().item())
    gradients = {name: p.grad for name, p in detector.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    norms = {name: gradient.norm() for name, gradient in gradients.items() if gradient is not None}
    norms["all"] = torch.stack(list(norms.values())).norm()
    prefix = way.replace("loss", "grad_norm") + "."
    stored = [key for key in golden.figures if key.startswith(prefix)]
    assert len(stored) > 10
    for key in stored:
        golden.check_number(key, norms[key.removeprefix(prefix)].item())


@pytest.mark.slow
def test_batch_norms_learn_as_published(golden: RivalGolden) -> None:
    detector = golden_detector(golden).train()
    losses = detector(
        golden_inputs(golden, detector, "train0", "train1", "train2"), golden.targets()
    )
    golden.check_number("bn_train.total", torch.stack(list(losses.values())).sum().item())
    state = detector.state_dict()
    stored = [key for key in golden.figures if key.startswith("bn_train.") and "running" in key]
    assert len(stored) >= 6
    for key in stored:
        found = state[key.removeprefix("bn_train.")][:16]
        check_values(key, found, golden.figures[key])


def test_a_bad_weight_is_noticed(golden: RivalGolden) -> None:
    """The comparison can fail: one weight off by a percent shows."""
    detector = golden_detector(golden)
    with torch.no_grad():
        detector.backbone.conv1[0].weight.mul_(1.01)
        maps = detector.backbone(golden_inputs(golden, detector, "image").pixels)
    with pytest.raises(AssertionError):
        golden.check("backbone.2", maps[2])


def test_a_fresh_detector_starts_at_the_prior() -> None:
    torch.manual_seed(0)
    detector = build(320).eval()
    found = detector.network(detector.preprocess([torch.zeros(3, 32, 32, dtype=torch.uint8)]))
    assert found.head.logits.sigmoid().mean().item() == pytest.approx(0.01, rel=0.05)
