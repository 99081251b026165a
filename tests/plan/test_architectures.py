"""Which architecture parts make, what is told where a slot is missing, and one from a file."""

# ruff: noqa: E501  a line of a table is a mistake and the line that answers it

import sys
from pathlib import Path

import pytest
import torch

import harness
from harness.errors import UserError
from harness.manifest.schema import DetectorSpec
from harness.plan.planner import detector_parts
from harness.plugin.declarations import Architecture, NoParams
from harness.plugin.manager import load_plugins

YOLOX = {"backbone": "csp_darknet", "neck": "yolox_pafpn", "dense_head": "yolox_head"}
TINYDET = {
    "backbone": "mobilenetv3_d", "neck": "tiny_fpn", "rpn": "tiny_rpn",
    "roi_op": {"use": "psroi_align_max", "params": {"strides": [8], "finest_scale": 30}},
    "box_head": "tiny_box_head",
}  # fmt: skip
OUTSIDE = """\
import harness
from harness.plugin import Architecture, NoParams


@harness.hookimpl
def harness_architectures():
    return [Architecture("headless", "outside_arch:build", NoParams, "s", ("backbone", "dense_head"))]


def build(builder):
    from harness.model.one_stage import OneStageDetector
    from torch import nn

    backbone = builder.build_backbone()
    size, classes = builder.input.size, builder.classes
    head = builder.build(
        "dense_head", backbone.out_features, num_classes=len(classes), image_size=size
    )
    return OneStageDetector(
        backbone=backbone, neck=nn.Identity(), dense_head=head, classes=classes,
        given=builder.input,
    )
"""
SUITE = """\
suite: outside
defaults: {meters: [macs_paper], columns: [macs_paper]}
profiles: {quick: {data: synthetic}}
detectors:
  own: {input: {size: 64}, backbone: csp_darknet, dense_head: yolox_head}
"""


@pytest.fixture(scope="module")
def registry():
    return load_plugins()


@pytest.fixture
def parts(registry):
    def make(**keys: object):
        spec = DetectorSpec.model_validate(keys)
        return detector_parts(registry, spec, lambda path: ".".join(("x", *map(str, path))))

    return make


@pytest.mark.parametrize(("uses", "name"), [(YOLOX, "one_stage"), (TINYDET, "two_stage")])
def test_parts_tell_their_architecture(parts, uses, name):
    for keys in (uses, {**uses, "architecture": name}):
        found = parts(**keys)
        assert found["architecture"].declaration.name == name
        assert set(found) == {"architecture", *uses}


MISTAKES = [
    ({k: v for k, v in YOLOX.items() if k != "neck"}, "x: is missing neck (or a whole 'detector') (one_stage is assembled from backbone, neck, dense_head)"),
    ({k: v for k, v in TINYDET.items() if k != "rpn"}, "x: is missing rpn (or a whole 'detector') (two_stage is assembled from backbone,"),
    ({**YOLOX, "rpn": "tiny_rpn"}, "x.rpn: the architecture 'one_stage' has no slot 'rpn'"),
    ({**TINYDET, "architecture": "one_stage"}, "x.rpn: the architecture 'one_stage' has no slot 'rpn'"),
    ({**YOLOX, "architecture": "one_stag"}, "x.architecture.use: no architecture is called 'one_stag' (did you mean 'one_stage'? there is: one_stage, two_stage)"),
    ({"backbone": "csp_darknet", "architecture": "one_stage"}, "x: is missing neck, dense_head (or a whole"),
    ({}, "x: is missing "),
    ({**YOLOX, "dense_head": "yolox_haed"}, "x.dense_head.use: no dense_head is called 'yolox_haed' (did you mean 'yolox_head'?"),
    ({"detector": "ssdlite320_mobilenet_v3_large", "backbone": "csp_darknet"}, "x.backbone: 'ssdlite320_mobilenet_v3_large' is a whole detector and decides on backbone"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "expected"), MISTAKES)
def test_mistakes_are_told_in_one_line(parts, keys, expected):
    with pytest.raises(UserError) as caught:
        parts(**keys)
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("slots", [(), ("backbone", "bakcbone"), ("neck", "neck")])
def test_slots_that_are_no_kinds_of_parts(slots):
    with pytest.raises(ValueError, match="the slots of architecture 'odd' are"):
        Architecture("odd", "m:build", NoParams, "s", slots)


def test_an_architecture_from_a_file(tmp_path: Path):
    (tmp_path / "outside_arch.py").write_text(OUTSIDE)
    (tmp_path / "m.yaml").write_text(SUITE)
    plugins = [str(tmp_path / "outside_arch.py")]
    try:
        detector = harness.build(tmp_path / "m.yaml", "own", classes=2, plugins=plugins)
    finally:
        sys.modules.pop("outside_arch", None)
    (found,) = detector.predict([torch.zeros(3, 60, 60, dtype=torch.uint8)])
    assert found["boxes"].shape[1] == 4


WHOLE = """\
import harness
from harness.plugin import NoParams, WholeDetector


@harness.hookimpl
def harness_detectors():
    return [WholeDetector("framed", "outside_whole:build", NoParams, "s", ("backbone",))]


def build(num_classes, backbone):
    from harness_plugins.yolox.head import yolox_head
    from harness.manifest.schema import Input
    from harness.model.one_stage import OneStageDetector
    from torch import nn

    head = yolox_head(backbone.out_features, num_classes=num_classes, image_size=(64, 64))
    return OneStageDetector(
        backbone=backbone, neck=nn.Identity(), dense_head=head, classes=("a", "b"),
        given=Input(size=(64, 64)),
    )
"""


def test_a_whole_detector_that_takes_a_backbone_is_given_it_built(tmp_path: Path):
    (tmp_path / "outside_whole.py").write_text(WHOLE)
    own = "own: {detector: framed, backbone: csp_darknet}"
    (tmp_path / "m.yaml").write_text(SUITE[: SUITE.index("own:")] + own)
    plugins = [str(tmp_path / "outside_whole.py")]
    with_input = ["detectors.own.input.size=64"]
    try:
        detector = harness.build(tmp_path / "m.yaml", "own", classes=2, plugins=plugins)
        with pytest.raises(UserError, match="decides on input \\(it takes backbone\\)"):
            harness.build(tmp_path / "m.yaml", "own", overrides=with_input, plugins=plugins)
    finally:
        sys.modules.pop("outside_whole", None)
    assert type(detector.part("backbone")).__name__ == "CspDarknet"


def test_one_of_another_architecture_inherits_no_parts(tmp_path: Path):
    text = SUITE.replace(
        "columns: [macs_paper]}",
        "columns: [macs_paper], detector: {rpn: tiny_rpn, neck: tiny_fpn, input: {size: 32}}}",
    )
    text = text.replace("own: {input: {size: 64}, ", "own: {architecture: one_stage, ")
    (tmp_path / "m.yaml").write_text(text.replace("dense_head:", "neck: yolox_pafpn, dense_head:"))
    detector = harness.build(tmp_path / "m.yaml", "own", classes=2)
    assert detector.resize.describe()["height"] == 32
