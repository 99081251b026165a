"""YOLOX against figures of the published code: features, heads, detections, losses, assignment."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from reference_data import DATA, count_matched
from rival_golden import RivalGolden
from torch import Tensor, nn
from yolox_building import SIDE, build_yolox

from harness.data.batch import Inputs
from harness.model.one_stage import OneStageDetector
from harness.model.parts import TrainingMaps
from harness_plugins.meters.roles import role_of
from harness_plugins.yolox.head import join_levels

LOSSES = {
    "loss_iou": "iou_loss",
    "loss_obj": "conf_loss",
    "loss_cls": "cls_loss",
    "loss_l1": "l1_loss",
}


@pytest.fixture(scope="module")
def detector(golden: RivalGolden) -> OneStageDetector:
    made: OneStageDetector = build_yolox(golden.model)
    golden.load_weights(made)
    return made.eval()


@pytest.fixture(scope="module")
def seen(golden: RivalGolden, detector) -> dict[str, Any]:
    """What the network makes of the first image, and what its convolutions cost."""
    macs = dict.fromkeys(detector.roles, 0)

    def counted(role: str) -> Any:
        def hook(conv: nn.Conv2d, _: object, out: Tensor) -> None:
            macs[role] += out.numel() * conv.weight[0].numel()

        return hook

    hooks = [
        module.register_forward_hook(counted(role_of(name, detector.roles)))
        for name, module in detector.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    inputs = detector.preprocess([golden.image("image", SIDE, SIDE)])
    with torch.no_grad():
        of_backbone = detector.part("backbone")(inputs.pixels)
        of_neck = detector.part("neck")(of_backbone)
        raw = detector.part("head")(of_neck)
    for hook in hooks:
        hook.remove()
    return {"inputs": inputs, "backbone": of_backbone, "neck": of_neck, "raw": raw, "macs": macs}


@pytest.fixture(scope="module")
def batch(golden: RivalGolden, detector) -> Inputs:
    """The training images; gradients reach the pixels."""
    inputs = detector.preprocess([golden.image(f"train{i}", SIDE, SIDE) for i in range(3)])
    inputs.pixels.requires_grad_()
    return inputs


@pytest.fixture(scope="module")
def raw_of_batch(detector, batch) -> Any:
    """Raw outputs, with gradients."""
    return detector.network(batch).head


def test_names_and_shapes_are_the_published_ones(golden: RivalGolden, detector):
    stored = json.loads((DATA / f"state_dict_{golden.model}.json").read_text())
    own = {name: list(value.shape) for name, value in detector.state_dict().items()}
    assert own == stored


def test_preprocessing(golden: RivalGolden, detector):
    for i, (height, width) in enumerate([(427, 640), (150, 100)]):
        inputs = detector.preprocess([golden.image(f"pre{i}", height, width)])
        golden.check(f"pre.{i}", inputs.pixels[0], relative=0)
        assert inputs.sizes[0].tolist() == golden.figures[f"pre.{i}.resized"].tolist()
        ratio = float(golden.figures[f"pre.{i}.ratio"])
        assert inputs.scales[0].tolist() == pytest.approx([ratio, ratio])


def test_maps_and_raw_heads(golden: RivalGolden, seen):
    golden.check("input", seen["inputs"].pixels[0], relative=0)
    raw = seen["raw"]
    named = {
        "backbone": seen["backbone"], "neck": seen["neck"], "head_reg": raw.boxes,
        "head_obj": raw.objectness, "head_cls": raw.classes,
    }  # fmt: skip
    for name, maps in named.items():
        assert len(maps) == 3
        for i, level in enumerate(maps):
            golden.check(f"{name}.{i}", level)


def test_decoded_boxes_and_candidates(golden: RivalGolden, detector, seen):
    head, raw = detector.part("head"), seen["raw"]
    boxes = torch.cat(head.locate(join_levels(raw.boxes)), -1)
    scores = torch.cat([join_levels(raw.objectness), join_levels(raw.classes)], -1).sigmoid()
    found = torch.cat([boxes, scores], -1)
    assert tuple(golden.figures["decoded.shape"]) == tuple(found.shape)
    stored = torch.from_numpy(golden.figures["decoded.value"])
    rows = found[0, torch.from_numpy(golden.figures["decoded.rows"])]
    for columns in (slice(0, 4), slice(4, None)):
        off = (rows[:, columns] - stored[:, columns]).abs().max()
        assert off <= 1e-3 * stored[:, columns].abs().max()
    off = abs(int(head.decode(raw).counts) - int(golden.figures["candidates.count"]))
    assert off <= int(golden.figures["candidates.near_threshold"])


@torch.no_grad()
@pytest.mark.parametrize(
    ("key", "name", "size"), [("image", "det", (SIDE, SIDE)), ("pre0", "e2e.det", (427, 640))]
)
def test_detections(golden: RivalGolden, detector, key, name, size):
    found = detector(detector.preprocess([golden.image(key, *size)]))
    assert abs(int(found.counts) - int(golden.figures[f"{name}.count"])) <= 1
    stored = torch.from_numpy(golden.figures[name])
    wanted = torch.cat([stored[:, :4], stored[:, 4:5] * stored[:, 5:6], stored[:, 6:]], 1)
    rows = [found.boxes[0], found.scores[0, :, None], found.labels[0, :, None].float()]
    count = int(found.counts)
    assert count_matched(torch.cat(rows, 1)[:count], wanted, 1.0, 1e-3) >= len(wanted) - 2


@pytest.mark.parametrize(
    ("group", "gradients"), [("loss", "grad_norm"), ("loss_l1on", "grad_norm_l1on")]
)
def test_losses_and_gradients(golden: RivalGolden, detector, batch, raw_of_batch, group, gradients):
    detector.zero_grad()
    batch.pixels.grad = None
    head = detector.part("head")
    head.l1 = group == "loss_l1on"
    losses = head.losses(raw_of_batch, golden.targets(), TrainingMaps([], [], {}))
    assert ("loss_l1" in losses) == head.l1
    head.l1 = False
    sum(losses.values()).backward(retain_graph=True)
    for own in losses:
        golden.check_number(f"{group}.{LOSSES[own]}", float(losses[own]))
    golden.check_number(f"{group}.total_loss", float(sum(losses.values())))
    golden.check_number(f"{group}.input_grad_norm", float(batch.pixels.grad.norm()))
    norms = {f"{gradients}.{k}": float(p.grad.norm()) for k, p in detector.named_parameters()}
    norms[f"{gradients}.all"] = sum(norm**2 for norm in norms.values()) ** 0.5
    stored = [key for key in golden.figures if key.startswith(f"{gradients}.")]
    assert stored
    for key in stored:
        golden.check_number(key, norms[key])


@torch.no_grad()
def test_the_assignment_is_the_same(golden: RivalGolden, detector, raw_of_batch):
    head, raw, targets = detector.part("head"), raw_of_batch, golden.targets()
    found = head.assign(
        join_levels(raw.boxes),
        join_levels(raw.objectness)[..., 0],
        join_levels(raw.classes),
        head.read_truths(targets),
    )
    positives = found.positive.sum(1).tolist()
    assert sum(positives) == round(float(golden.figures["loss.num_fg"]) * int(targets.counts.sum()))
    for i, count in enumerate(targets.counts.tolist()):
        if count == 0:
            assert positives[i] == 0
            continue
        own, stored = (
            found.positive[i],
            {
                k.removeprefix(f"assign.{i}."): v
                for k, v in golden.figures.items()
                if k.startswith(f"assign.{i}.")
            },
        )
        assert found.points[i][own].tolist() == stored["points"].tolist()
        assert found.truths[i][own].tolist() == stored["gt"].tolist()
        assert np.abs(found.ious[i][own].numpy() - stored["iou"]).max() <= 1e-3
        assert int(found.valid[i].sum()) == int(stored["candidate_count"])
        assert found.taken[i, :count].tolist() == stored["dynamic_k"].tolist()
        least = found.costs[i, :count].amin(1).numpy()
        assert np.allclose(least, stored["cost_min"], rtol=1e-3)


@torch.no_grad()
def test_running_statistics(golden: RivalGolden, detector, batch):
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    losses = detector.train().losses(batch, golden.targets())
    state = {name: value.clone() for name, value in detector.eval().state_dict().items()}
    detector.load_state_dict(before)
    total = float(golden.figures["bn_train.total_loss"])
    assert float(sum(losses.values())) == pytest.approx(total, rel=1e-3)
    for key, stored in golden.figures.items():
        if key.startswith("bn_train.") and key != "bn_train.total_loss":
            own = state[key.removeprefix("bn_train.")][:16].numpy()
            assert np.allclose(own, stored, rtol=1e-3, atol=1e-3 * np.abs(stored).max()), key


def test_counts(golden: RivalGolden, detector, seen):
    counts = json.loads((DATA / "counts_yolox.json").read_text())[golden.model]
    of_part = dict.fromkeys(detector.roles, 0)
    for name, parameter in detector.named_parameters():
        of_part[role_of(name, detector.roles)] += parameter.numel()
    assert of_part == counts["parameters_by_part"]
    assert sum(of_part.values()) == counts["parameters"]
    assert seen["macs"] == counts["conv_macs_by_part"]
    assert sum(seen["macs"].values()) == counts["conv_macs"]
