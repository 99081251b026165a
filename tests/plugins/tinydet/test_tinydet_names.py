"""Names and shapes of published checkpoints, and the declarations that lead to the parts."""

import json
import subprocess
import sys

import pytest
import torch
from reference_data import DATA
from tinydet_golden import build

from harness.plugin.declarations import Declaration
from harness_plugins import tinydet
from harness_plugins.tinydet.backbones import mobilenetv3_bc, mobilenetv3_d


@pytest.mark.parametrize("size", ["S", "M", "L"])
def test_state_dict_is_the_published_one(size: str) -> None:
    wanted = json.loads((DATA / f"state_dict_{size}.json").read_text())
    state = build(size).state_dict()
    assert {name: list(value.shape) for name, value in state.items()} == wanted


@pytest.mark.parametrize(("size", "count"), [("S", 2573037), ("M", 5120706), ("L", 5120706)])
def test_parameter_counts(size: str, count: int) -> None:
    assert sum(p.numel() for p in build(size).parameters()) == count


def test_backbones_declare_what_they_give() -> None:
    for backbone, channels, strides in (
        (mobilenetv3_d(), (40, 112, 160, 160), (8, 16, 32, 64)),
        (mobilenetv3_bc(), (36, 60, 112, 160, 160), (4, 8, 16, 32, 64)),
    ):
        assert tuple(f.channels for f in backbone.out_features) == channels
        assert tuple(f.stride for f in backbone.out_features) == strides
        maps = backbone(torch.zeros(2, 3, 128, 192))
        assert [tuple(m.shape) for m in maps] == [
            (2, c, 128 // s, 192 // s) for c, s in zip(channels, strides, strict=True)
        ]


def test_initial_weights_follow_the_published_rule() -> None:
    torch.manual_seed(0)
    detector = build("S").requires_grad_(False)
    assert detector.rpn.rpn_cls.weight.std() == pytest.approx(0.01, rel=0.1)
    assert detector.box_head.fc_cls.weight.std() == pytest.approx(0.01, rel=0.02)
    assert detector.box_head.fc_reg.weight.std() == pytest.approx(0.001, rel=0.05)
    bound = (6 / (245 + 1024)) ** 0.5
    assert detector.box_head.shared_fcs[0].weight.abs().max() == pytest.approx(bound, rel=0.01)
    lateral = detector.neck.lateral_convs[0].conv.weight
    assert lateral.abs().max() == pytest.approx((6 / (40 + 245)) ** 0.5, rel=0.01)
    project = detector.backbone.blocks[16].conv3.weight
    assert project.std() == pytest.approx((2 / 160) ** 0.5, rel=0.02)
    assert all(not v.any() for k, v in detector.state_dict().items() if k.endswith("conv.bias"))


def declarations() -> list[Declaration]:
    hooks = (
        tinydet.harness_backbones,
        tinydet.harness_necks,
        tinydet.harness_rpns,
        tinydet.harness_box_heads,
    )
    return [declaration for hook in hooks for declaration in hook()]


@pytest.mark.parametrize("declaration", declarations(), ids=lambda d: d.name)
def test_declared_factories_exist_and_take_their_params(declaration: Declaration) -> None:
    assert callable(declaration.load())
    declaration.params()  # every parameter has a default: the published system's


def test_declaring_does_not_import_torch() -> None:
    modules = "harness_plugins.tinydet, harness_plugins.roi_ops"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
