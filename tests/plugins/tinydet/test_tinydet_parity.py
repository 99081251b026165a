"""TinyDet against figures of the published system: forward, detections, losses, gradients."""

import math

import numpy as np
import pytest
import torch
from reference_data import count_matched
from tinydet_golden import Golden, as_inputs, draw_pixels, exclusive, stored_targets

from harness.model.two_stage import TwoStageDetector, TwoStageOutputs


@pytest.fixture(scope="session")
def detector(golden: Golden) -> TwoStageDetector:
    return golden.detector()


@pytest.fixture(scope="session")
def outputs(golden: Golden, detector: TwoStageDetector) -> TwoStageOutputs:
    with torch.no_grad():
        return detector.network(as_inputs(draw_pixels(golden.seed, "input", 1, golden.side)))


@torch.no_grad()
def test_feature_maps_and_rpn_outputs(golden: Golden, detector: TwoStageDetector) -> None:
    maps = detector.backbone(draw_pixels(golden.seed, "input", 1, golden.side))
    pyramid = detector.neck(maps)
    rpn = detector.rpn(pyramid)
    named = {"backbone": maps, "neck": pyramid, "rpn_cls": rpn.logits, "rpn_reg": rpn.deltas}
    for name, levels in named.items():
        assert f"{name}.{len(levels)}.shape" not in golden.figures
        for i, level in enumerate(levels):
            golden.check_map(f"{name}.{i}", level)


def test_proposals(golden: Golden, outputs: TwoStageOutputs) -> None:
    stored = golden.figures["proposals"]
    wanted = torch.cat([exclusive(stored[:, :4]), torch.from_numpy(stored[:, 4:])], 1)
    count = int(outputs.proposals.counts[0])
    assert count == len(wanted)
    found = torch.cat([outputs.proposals.boxes, outputs.proposals.scores[..., None]], -1)[0]
    assert count_matched(found, wanted, 0.05, 1e-4) >= 0.99 * count


@torch.no_grad()
def test_box_head_on_the_stored_proposals(golden: Golden, detector: TwoStageDetector) -> None:
    maps = detector.features(draw_pixels(golden.seed, "input", 1, golden.side))
    pooled = detector.roi_pool(maps, exclusive(golden.figures["proposals"][:, :4])[None])
    golden.check_map("roi_feats", pooled)
    for name, value in zip(("cls_score", "bbox_pred"), detector.box_head(pooled), strict=True):
        stored = golden.figures[name]
        assert np.abs(value.numpy() - stored).max() <= 1e-4 * np.abs(stored).mean(), name


def test_detections(golden: Golden, detector: TwoStageDetector, outputs: TwoStageOutputs) -> None:
    stored = golden.figures["det_boxes"]
    wanted = torch.cat(
        [
            exclusive(stored[:, :4]),
            torch.from_numpy(stored[:, 4:]),
            torch.from_numpy(golden.figures["det_labels"])[:, None].float(),
        ],
        1,
    )
    inputs = as_inputs(torch.empty(1, 3, golden.side, golden.side))
    found = detector.postprocess(outputs, inputs)
    rows = torch.cat([found.boxes, found.scores[..., None], found.labels[..., None]], -1)[0]
    assert int(found.counts[0]) == len(wanted) == 100
    assert count_matched(rows, wanted, 0.05, 1e-4) == 100


@pytest.mark.slow
def test_losses_and_gradients(golden: Golden) -> None:
    detector = golden.detector(samples=None, positive_fraction=1.0)
    train_without_statistics(detector)
    pixels = draw_pixels(golden.seed, "input_train", 2, golden.side).requires_grad_()
    losses = detector(as_inputs(pixels), stored_targets(golden.figures))
    sum(losses.values()).backward()
    assert set(losses) == {"loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox"}
    for name, value in losses.items():
        assert_close(name, value.item(), golden.figures[f"loss.{name}"])
    assert_close("input", pixels.grad.norm().item(), golden.figures["loss.input_grad_norm"])
    norms = {k: p.grad.norm().item() for k, p in detector.named_parameters()}
    stored = {k: v for k, v in golden.figures.items() if k.startswith("grad_norm.")}
    assert stored.keys() == {f"grad_norm.{name}" for name in norms}
    for name, norm in norms.items():
        assert_close(name, norm, stored[f"grad_norm.{name}"])


def train_without_statistics(detector: TwoStageDetector) -> None:
    detector.train()
    for module in detector.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()


def assert_close(name: str, value: float, stored: np.ndarray) -> None:
    assert math.isclose(value, float(stored), rel_tol=1e-3), (name, value, float(stored))
