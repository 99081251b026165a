import os
import subprocess
import sys

import pytest
import torch

from harness.errors import UserError
from harness.model.features import FeatureSpec
from harness_plugins.timm_backbones import TimmParams, harness_backbones


def build(**params):
    (declaration,) = harness_backbones()
    return declaration.load()(**declaration.params(**params).model_dump())


@pytest.mark.parametrize(
    ("model", "indices", "channels", "strides"),
    [
        ("mobilenetv3_small_100", None, [16, 16, 24, 48, 576], [2, 4, 8, 16, 32]),
        ("resnet18", [2, 3, 4], [128, 256, 512], [8, 16, 32]),
        ("efficientformer_l1", [1, 2], [96, 224], [8, 16]),
    ],
)
def test_maps_are_what_the_specs_say(model, indices, channels, strides):
    backbone = build(model=model, out_indices=indices).eval()
    assert [f.channels for f in backbone.out_features] == channels
    assert [f.stride for f in backbone.out_features] == strides
    side = 224
    with torch.no_grad():
        maps = backbone(torch.randn(2, 3, side, side))
    for spec, m in zip(backbone.out_features, maps, strict=True):
        assert m.shape == (2, spec.channels, side // spec.stride, side // spec.stride)


def test_a_spec_is_named_after_its_level():
    backbone = build(model="resnet18", out_indices=[-3, -2, -1])
    assert backbone.out_features[0] == FeatureSpec("c3", 128, 8)
    assert [f.name for f in backbone.out_features] == ["c3", "c4", "c5"]


def test_channels_last_maps_are_turned_round():
    backbone = build(model="swin_tiny_patch4_window7_224", out_indices=[1, 2, 3]).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 224, 224))
    assert [tuple(m.shape) for m in maps] == [(1, 192, 28, 28), (1, 384, 14, 14), (1, 768, 7, 7)]


def test_parameter_names_are_timms():
    import timm

    published = timm.create_model("mobilenetv3_small_100").state_dict()
    own = build(model="mobilenetv3_small_100").state_dict()
    assert len(own) > 100
    assert {k: v.shape for k, v in own.items()}.items() <= {
        k: v.shape for k, v in published.items()
    }.items()


def test_gradients_reach_the_stem():
    backbone = build(model="mobilenetv3_small_100", out_indices=[2, 3, 4])
    sum(m.mean() for m in backbone(torch.randn(2, 3, 64, 64))).backward()
    assert backbone.conv_stem.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"model": "mobilnetv3_small_100"}, "did you mean 'mobilenetv3_small_100'"),
        ({"model": "hf-hub:some/model"}, "timm has no model"),
        ({"model": "resnet18.nonsense"}, "Invalid pretrained tag"),
        ({"model": "resnet18", "out_indices": [2, 9]}, "out_indices [2, 9]"),
        ({"model": "vit_tiny_patch16_224"}, "not distinct"),
        ({"model": "sequencer2d_s"}, "powers of two"),
    ],
)
def test_a_choice_that_cannot_be_served_is_one_line(params, says):
    with pytest.raises(UserError) as caught:
        build(**params)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_cannot_be_had_are_never_replaced_silently(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("no route to host\nlong story")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refuse)
    with pytest.raises(UserError, match="pretrained weights of 'mobilenetv3_small_100' cannot"):
        build(model="mobilenetv3_small_100", pretrained=True)


def test_weights_that_can_be_had_are_loaded(monkeypatch):
    import timm

    torch.manual_seed(7)
    published = timm.create_model("mobilenetv3_small_100").state_dict()
    monkeypatch.setattr(
        "timm.models._builder.load_state_dict_from_hf", lambda *_a, **_k: dict(published)
    )
    backbone = build(model="mobilenetv3_small_100", pretrained=True, out_indices=[2, 3])
    torch.testing.assert_close(backbone.conv_stem.weight, published["conv_stem.weight"])
    assert [f.stride for f in backbone.out_features] == [8, 16]


def test_params_are_strict():
    with pytest.raises(ValueError, match="out_indexes"):
        TimmParams(model="resnet18", out_indexes=[1])


def test_declaring_imports_neither_timm_nor_torch():
    code = (
        "import sys, harness_plugins.timm_backbones as p; p.harness_backbones();"
        "sys.exit(bool({'timm', 'torch'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
