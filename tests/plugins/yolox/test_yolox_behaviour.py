"""A tiny YOLOX: it learns, compiles whole, runs in a suite, and meets bad input."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from yolox_building import SUITE, TINY, build_yolox

from harness.data.batch import Targets
from harness.errors import UserError
from harness.model.checkpoint import load_detector, read_checkpoint
from harness.model.parts import TrainingMaps
from harness.plugin.testing import check_images_stand_alone
from harness.records.store import read_run_records

BOXES = torch.tensor([[4.0, 4, 28, 28], [30, 20, 60, 50]])


def tiny(classes: int = 3, name: str = "yolox_nano", *overrides: str):
    torch.manual_seed(0)
    return build_yolox(name, classes, (*TINY, *overrides))


def images(count: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator)
        for _ in range(count)
    ]


def targets_of(*labels: list[int]) -> Targets:
    """Each image has the first boxes, with these labels."""
    most = max(map(len, labels))
    boxes = torch.zeros(len(labels), most, 4)
    padded = torch.zeros(len(labels), most, dtype=torch.int64)
    for i, own in enumerate(labels):
        boxes[i, : len(own)], padded[i, : len(own)] = BOXES[: len(own)], torch.tensor(own)
    return Targets(boxes, padded, torch.tensor([len(own) for own in labels]))


def total(detector, targets: Targets, count: int = 2) -> Tensor:
    return sum(detector.losses(detector.preprocess(images(count)), targets).values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolox_nano", "yolox_tiny"])
def test_a_few_steps_lower_the_losses_and_gradients_reach_all_weights(name):
    detector = tiny(3, name, "detectors.*.dense_head.params.l1=true").train()
    optimizer = torch.optim.AdamW(detector.parameters(), 1e-2)
    targets, seen = targets_of([0, 2], [1]), []
    for _ in range(20):
        optimizer.zero_grad()
        loss = total(detector, targets)
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())
    assert seen[-1] < 0.85 * seen[0]


def test_the_l1_loss_of_the_last_phase():
    """Always among the losses, so that a step has the same ones; zero until it is told."""
    detectors = [
        tiny(3, "yolox_nano", f"detectors.*.dense_head.params.l1={l1}") for l1 in ("true", "last")
    ]
    detectors[1].load_state_dict(detectors[0].state_dict())
    targets = targets_of([0, 2], [1])
    always, last = (d.losses(d.preprocess(images(2)), targets)["loss_l1"] for d in detectors)
    assert always > 0
    assert last == 0
    for detector in detectors:
        detector.begin_last_phase()
    again, last = (d.losses(d.preprocess(images(2)), targets)["loss_l1"] for d in detectors)
    assert always == again == last


def test_an_image_does_not_depend_on_its_neighbours():
    detector = tiny()
    with torch.no_grad():  # at first it finds nothing
        for name, parameter in detector.named_parameters():
            if "_preds." in name:
                parameter.normal_(0, 0.0 if name.endswith("bias") else 1.0)
    check_images_stand_alone(detector, detector.preprocess(images(2)), pixels=1e-2)
    raw = detector.network(detector.preprocess(images(2))).head
    head = detector.part("head")
    whole = head.losses(raw, targets_of([0, 2], [1]), None)
    halves = [
        head.losses(detector.network(detector.preprocess([image])).head, own, None)
        for image, own in zip(images(2), (targets_of([0, 2]), targets_of([1])), strict=True)
    ]
    positives = [int(assigned(detector, [i], t)) for i, t in zip(
        images(2), (targets_of([0, 2]), targets_of([1])), strict=True
    )]  # fmt: skip
    for name, value in whole.items():
        expected = sum(h[name] * n for h, n in zip(halves, positives, strict=True))
        torch.testing.assert_close(value, expected / sum(positives), rtol=1e-4, atol=1e-5)


def assigned(detector, given: list[Tensor], targets: Targets) -> Tensor:
    """Number of positive points."""
    from harness_plugins.yolox.head import join_levels

    head, raw = detector.part("head"), detector.network(detector.preprocess(given)).head
    return head.assign(
        join_levels(raw.boxes),
        join_levels(raw.objectness)[..., 0],
        join_levels(raw.classes),
        head.read_truths(targets),
    ).positive.sum()


@pytest.mark.parametrize("labels", [([], []), ([0], [])])
def test_images_without_boxes_have_negative_points_alone(labels):
    detector = tiny()
    loss = total(detector, targets_of(*labels))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in detector.parameters() if p.grad is not None)
    assert (int(assigned(detector, images(2), targets_of(*labels))) == 0) == (labels[0] == [])


def test_a_class_beyond_the_heads_counts_as_padding():
    detector = tiny(classes=3)
    with torch.no_grad():
        strange, without = (total(detector, targets_of(own, [1])) for own in ([0, 3], [0]))
        negative = total(detector, targets_of([0, -1], [1]))
    assert strange == without == negative


def test_a_size_that_the_strides_do_not_divide():
    with pytest.raises(UserError) as caught:
        build_yolox("yolox_nano", 3, ("detectors.*.input.size=[400, 416]",))
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("detectors.yolox_nano dense_head 'yolox_head': yolox_head is given")
    assert "400x416 (the sides must be multiples of 32: 384x416 or 416x416 would do)" in line


def test_published_files_load_whatever_they_are_wrapped_in(tmp_path: Path):
    one = tiny()
    torch.nn.init.constant_(one.part("head").stems[0].conv.weight, 0.5)
    state = one.state_dict()
    old = {k: torch.zeros_like(v) for k, v in state.items()}
    files = {
        "published": {"model": state, "start_epoch": 300, "best_ap": 0.1, "optimizer": {"lr": 1}},
        "lightning": {"state_dict": {
            **{f"model.{k}": v for k, v in old.items()},
            **{f"avg_model.{k}": v for k, v in state.items()},
        }},
        "parallel": {"state_dict": {f"module.{k}": v for k, v in state.items()}},
        "averaged": {"model": old, "ema": state},
    }  # fmt: skip
    for name, content in files.items():
        torch.save(content, tmp_path / f"{name}.pth")
        other = tiny()
        report = load_detector(other, read_checkpoint(tmp_path / f"{name}.pth"))
        assert report.complete, name
        assert torch.equal(
            other.part("head").stems[0].conv.weight, state["head.stems.0.conv.weight"]
        )


@pytest.mark.parametrize(
    ("classes", "name", "told"),
    [(4, "yolox_nano", "head.cls_preds.0.weight"), (3, "yolox_tiny", "dconv")],
)
def test_a_published_file_of_another_size_or_class_count(tmp_path: Path, classes, name, told):
    torch.save({"model": tiny(classes, name).state_dict()}, tmp_path / "other.pth")
    with pytest.raises(UserError) as caught:
        load_detector(tiny(), read_checkpoint(tmp_path / "other.pth"))
    assert "\n" not in str(caught.value)
    assert "is for another detector" in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.slow
def test_it_compiles_without_a_break():
    detector = tiny()
    inputs, targets = detector.preprocess(images(2)), targets_of([0, 2], [1])
    detect = torch.compile(detector, fullgraph=True, backend="eager", dynamic=False)
    with torch.no_grad():
        found = detect(inputs)
        assert torch.equal(found.boxes, detector(inputs).boxes)
        outputs, given = detector.network(inputs).head, TrainingMaps([], [], {})
    losses = detector.head.losses
    train = torch.compile(losses, fullgraph=True, backend="eager", dynamic=False)
    for name, value in train(outputs, targets, given).items():
        torch.testing.assert_close(value, losses(outputs, targets, given)[name])


@pytest.mark.slow
def test_a_whole_run(cli, tmp_path: Path, data: Path):
    sets = (
        *TINY, "stages=[train,evaluate,cost,latency]", "meters=[coco_ap,macs_paper,latency]",
        "columns=[ap]", "evaluate.workers=0", "detectors.*.train.workers=0",
        "detectors.*.train.steps=4", "detectors.*.train.batch_size=2",
        "latency={modes: [eager, fused], runs: 2, images: 2, warmup_runs: 1, warmup_seconds: 0}",
    )  # fmt: skip
    chosen = [part for text in sets for part in ("--set", text)]
    done = cli("run", SUITE, "--data", data, "--only", "yolox_nano", "--run-id", "r", *chosen)
    assert done.code == 0, done.err
    records = read_run_records(tmp_path / "results" / "yolox" / "r")
    ends = [r for r in records if r.kind == "cell"]
    assert [(r.stage, r.status) for r in ends] == [
        (stage, "ok") for stage in ("train", "evaluate", "cost", "latency", "latency")
    ]
    scopes = {r.scope for r in records if r.metric == "macs_paper"}
    assert scopes == {"", "role/backbone", "role/neck", "role/head"}
    assert {r.mode for r in records if r.metric == "latency_network_p50"} == {"eager", "fused"}
