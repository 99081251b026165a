"""A detector's own recipe: what it gives, what goes before it, and what a plan says of it."""

# ruff: noqa: E501  a line of a table is a mistake and what it leads to

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_suite import make_coco

from harness.errors import UserError
from harness.manifest.schema import Suite, Train
from harness.manifest.suite import load_manifest
from harness.plan.cells import Plan
from harness.plan.planner import make_plan, plan_suite, resolved
from harness.plugin import Length
from harness.plugin.manager import load_plugins
from harness.stages.train.recipe import Optimization, build_ema

MANIFEST = """\
suite: demo
defaults:
  data: {{use: coco, params: {{root: {root}}}}}
  meters: [coco_ap]
  columns: [ap]
  detector:
    train:
      {length}
      workers: 3
      augment: none
      clip_norm: 7
      ema_decay: 0.5
      optimizer: {{lr: 0.5, weight_decay: 0.5}}
      schedule: {{name: constant, warmup_steps: 3}}
profiles: {{quick: {{}}, other: {{detector: {{recipe: yolox}}}}}}
detectors:
  nano: {{backbone: csp_darknet, neck: yolox_pafpn, dense_head: yolox_head, input: {{size: 416}}}}
  tiny:
    backbone: {{use: csp_darknet, params: {{width: 0.375, depthwise: false}}}}
    neck: {{use: yolox_pafpn, params: {{depthwise: false}}}}
    dense_head: {{use: yolox_head, params: {{hidden: 96, depthwise: false, l1: false}}}}
    input: {{size: 416}}
    train: {{optimizer: {{momentum: 0.7}}, clip_norm: 2}}
  nanodet:
    {{backbone: shufflenet_v2, neck: ghost_pan, dense_head: nanodet_head, input: {{size: 320}}}}
  s:
    backbone: mobilenetv3_d
    neck: {{use: tiny_fpn, params: {{groups: [7, 5, 1, 1]}}}}
    rpn: {{use: tiny_rpn, params: {{anchor_scale: 2.25}}}}
    roi_op: {{use: psroi_align_max, params: {{strides: [8, 16], finest_scale: 30}}}}
    box_head: tiny_box_head
    input: {{size: 320}}
  l:
    backbone: mobilenetv3_bc
    neck: {{use: tiny_fpn, params: {{groups: [49, 7, 5, 1, 1]}}}}
    rpn: {{use: tiny_rpn, params: {{anchor_scale: 5.12}}}}
    roi_op: {{use: psroi_align_max, params: {{strides: [4, 8, 16], finest_scale: 35.8}}}}
    box_head: tiny_box_head
    input: {{size: 512}}
  whole: {{detector: ssdlite320_mobilenet_v3_large}}
"""
Make = Callable[..., Plan]
PAPER = [f"detectors.{name}.recipe=paper" for name in ("nano", "tiny", "nanodet", "s", "l")]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coco(tmp_path_factory.mktemp("recipes") / "coco")


@pytest.fixture
def plan(root: Path, tmp_path: Path) -> Make:
    registry = load_plugins()

    def make(*sets: str, length: str = "steps: 150\n      batch_size: 4", **more: Any) -> Plan:
        text = MANIFEST.format(root=root, length=length)
        (tmp_path / "m.yaml").write_text(text)
        return make_plan(load_manifest(tmp_path / "m.yaml", overrides=sets, **more), registry)

    return make


def train_of(plan: Plan, name: str) -> Train:
    return plan.suite.detectors[name].train


def test_the_suites_recipe_is_every_detectors_without_a_word(plan: Make) -> None:
    made = plan()
    for name in ("nano", "nanodet", "s", "whole"):
        train = train_of(made, name)
        assert (train.optimizer.name, train.schedule.name, train.ema_decay) == (
            "sgd", "constant", 0.5,
        )  # fmt: skip
        assert made.training[name].recipe is None
        assert resolved(made)["detectors"][name]["recipe"] == {"use": "same", "source": ""}


def test_yolox_is_trained_as_published(plan: Make) -> None:
    made = plan(*PAPER)
    nano, tiny = train_of(made, "nano"), train_of(made, "tiny")
    assert (nano.steps, nano.epochs, nano.batch_size, nano.workers) == (150, None, 4, 3)
    assert (nano.clip_norm, nano.ema_decay, nano.sync_bn) == (None, None, False)
    assert [use.use for use in nano.augment] == ["mosaic", "hsv", "flip"]
    assert nano.augment[0].params["probability"] == 0.5
    assert tiny.augment[0].params["probability"] == 1.0
    assert nano.optimizer.use.params["lr"] == pytest.approx(0.01 * 4 / 64)
    assert made.parts["nano"]["dense_head"].params["l1"] == "last"
    # what the detector says itself goes first
    assert made.parts["tiny"]["dense_head"].params["l1"] is False
    assert tiny.clip_norm == 2
    assert tiny.optimizer.use.params == {**nano.optimizer.use.params, "momentum": 0.7}
    told = resolved(made)["detectors"]["nano"]["recipe"]
    assert told["use"] == "yolox"
    assert "2107.08430" in told["source"]


def test_the_published_figures_at_the_published_length(plan: Make) -> None:
    made = plan(*PAPER, length="log_every: 5")
    lengths = {n: train_of(made, n).epochs for n in ("nano", "nanodet", "s", "l")}
    assert lengths == {"nano": 300, "nanodet": 300, "s": 240, "l": 240}
    batches = {n: train_of(made, n).batch_size for n in lengths}
    assert batches == {"nano": 64, "nanodet": 96, "s": 32, "l": 8}
    rates = {n: Optimization.of(train_of(made, n)) for n in lengths}
    assert {n: r.lr for n, r in rates.items()} == {
        "nano": 0.01, "nanodet": 1e-3, "s": 0.35, "l": 0.18,
    }  # fmt: skip
    yolox = {0: 0, 1: 4e-8, 250: 0.0025, 500: 0.01, 14_500: 0.00525, 28_500: 5e-4}
    for step, rate in yolox.items():
        found = rates["nano"].learning_rate(step, Length(30_000, 100))
        assert found == pytest.approx(rate, rel=1e-9)
    nanodet = {0: 1e-7, 1: 2.0998e-6, 250: 5.0005e-4, 500: 1e-3, 150 * 1221: 5.25e-4}
    for step, rate in nanodet.items():
        found = rates["nanodet"].learning_rate(step, Length(300 * 1221, 1221))
        assert found == pytest.approx(rate, rel=1e-4)
    assert train_of(made, "nano").last_phase(100) == 28_500
    assert train_of(made, "nanodet").last_phase(100) is None
    assert train_of(made, "s").clip_norm == train_of(made, "nanodet").clip_norm == 35


@pytest.mark.parametrize(
    ("change", "lr", "batch"),
    [
        ("detectors.nano.train.batch_size=128", 0.02, 128),
        ("detectors.nano.train.gpus=8", 0.005, 4),
        ("detectors.nano.train.accumulate=4", 0.0025, 4),
        ("detectors.nano.train.optimizer.lr=0.3", 0.3, 4),
    ],
)
def test_the_rate_follows_the_images_of_a_step(
    plan: Make, change: str, lr: float, batch: int
) -> None:
    train = train_of(plan(*PAPER, change), "nano")
    assert (Optimization.of(train).lr, train.batch_size) == (pytest.approx(lr), batch)


def test_published_batches_are_shared_by_the_processes(plan: Make) -> None:
    train = train_of(plan(*PAPER, "detectors.nano.train.gpus=8", length="log_every: 5"), "nano")
    assert (train.batch_size, Optimization.of(train).lr) == (8, 0.01)


def test_a_recipe_by_its_name_trains_any_detector(plan: Make) -> None:
    made = plan("detectors.s.recipe=nanodet_plus", "detectors.s.train.ema_decay=0.7")
    train = train_of(made, "s")
    assert (train.optimizer.name, train.augment[0].use) == ("adamw", "random_affine")
    assert (train.ema, train.ema_decay) == (None, 0.7)
    assert "l1" not in made.parts["s"]["box_head"].params
    every = plan(profile="other").suite.detectors.values()
    assert {detector.train.augment[0].use for detector in every} == {"mosaic"}


def test_a_plan_made_again_from_what_was_resolved_is_the_same(plan: Make) -> None:
    made = plan(*PAPER, length="log_every: 5")
    again = Suite.model_validate(made.suite.model_dump(mode="json", exclude_unset=True))
    assert plan_suite(again, load_plugins(), str).fingerprint == made.fingerprint


def test_fingerprints_are_those_of_what_is_done(plan: Make) -> None:
    def prints(*sets: str) -> list[str]:
        return [c.fingerprint for c in plan(*sets).cells if c.detector == "nano"]

    assert not set(prints()) & set(prints(*PAPER))
    assert prints(*PAPER) == prints("detectors.nano.recipe=yolox")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("detectors.whole.recipe=paper", "detectors.whole.recipe: no published recipes are those of its parts (there is: "),
        ("detectors.nano.recipe=yolo", "detectors.nano.recipe: no recipe is called 'yolo' (did you mean 'yolox'?"),
        ("detectors.nano.recipe=[]", "detectors.nano.recipe: "),
    ],
)  # fmt: skip
def test_mistakes(plan: Make, change: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(change)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_average_of_nanodet(plan: Make) -> None:
    """Weight of the new value, as published for the step before."""
    from torch import nn

    ema = build_ema(nn.Linear(1, 1), train_of(plan(*PAPER), "nanodet"))
    assert ema is not None
    new = {0: 0.99950022, 100: 0.95076378, 2000: 0.36782201, 20_000: 0.00024536816}
    assert {s: 1 - ema.get_decay(s + 1) for s in new} == pytest.approx(new, rel=1e-6)
