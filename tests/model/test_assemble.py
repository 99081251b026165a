"""Joints that do not fit are told by part, with both shapes; parts that lie are found out."""

# ruff: noqa: E501  a line of a table is a mistake and the line that answers it

import pytest
import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.manifest.schema import DetectorSpec as Spec
from harness.model.assemble import assemble
from harness.model.features import FeatureSpec
from harness.model.shipped import harness_architectures
from harness.plan.planner import detector_parts
from harness.plugin.declarations import Backbone, Neck, NoParams
from harness.plugin.manager import load_plugins
from harness.plugin.registry import Provider, Registry

TINYDET_S = {
    "input": {"size": 128},
    "backbone": "mobilenetv3_d",
    "neck": {"use": "tiny_fpn", "params": {"groups": [7, 5, 1, 1]}},
    "rpn": {"use": "tiny_rpn", "params": {"anchor_scale": 2.25}},
    "roi_op": {"use": "psroi_align_max", "params": {"strides": [8, 16], "finest_scale": 30}},
    "box_head": "tiny_box_head",
}


class Maps(nn.Module):
    """A backbone that declares `out_features` and gives maps of `given` channels and strides."""

    def __init__(self, declared: list[tuple[int, int]], given: list[tuple[int, int]]) -> None:
        super().__init__()
        self.out_features = tuple(
            FeatureSpec(f"c{i}", channels, stride) for i, (channels, stride) in enumerate(declared)
        )
        self.given = given
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        height, width = pixels.shape[2:]
        return [
            self.weight + torch.zeros(1, c, -(-height // s), -(-width // s)) for c, s in self.given
        ]


HONEST = [(8, 8), (8, 16), (8, 32), (8, 64)]
OFFERED: dict[str, object] = {}


def build_offered() -> nn.Module:
    return OFFERED["backbone"]  # type: ignore[return-value]


def build_offered_neck(in_features: object) -> nn.Module:
    return OFFERED["neck"]  # type: ignore[return-value]


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = load_plugins()
    provider = Provider("strange", "1", "strange")
    found.add(Backbone("strange", f"{__name__}:build_offered", NoParams, "s"), provider)
    found.add(Neck("strange", f"{__name__}:build_offered_neck", NoParams, "s"), provider)
    return found


@pytest.fixture
def build(registry: Registry):
    def make(**changes: object):
        spec = Spec.model_validate({**TINYDET_S, **changes})
        parts = detector_parts(registry, spec, lambda path: ".".join(map(str, path)))
        return assemble(spec, parts, ["a", "b", "c"], where="detectors.x")

    return make


@pytest.fixture
def complaint(build):
    def read(**changes: object) -> str:
        with pytest.raises(UserError) as caught:
            build(**changes)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return read


def test_parts_that_fit_make_a_detector(build):
    detector = build()
    assert detector.classes == ("a", "b", "c")
    assert all(
        hasattr(detector, name) for name in ("backbone", "neck", "rpn", "roi_pool", "box_head")
    )
    [found] = detector.eval().predict([torch.zeros(3, 50, 70, dtype=torch.uint8)])
    assert set(found) == {"boxes", "scores", "labels"}


def test_equal_seeds_give_equal_weights(build):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(torch.cat([p.flatten() for p in build().parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_strange_but_honest_backbone_fits(build):
    OFFERED["backbone"] = Maps(HONEST, HONEST)
    assert build(backbone="strange").neck.out_features[0].channels == 245


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([(9, 8), (8, 16), (8, 32), (8, 64)], "(9, 16, 16)"),
        ([(8, 16), (8, 16), (8, 32), (8, 64)], "(8, 8, 8)"),
        (HONEST[:3], "but gives [(8, 16, 16), (8, 8, 8), (8, 4, 4)]"),
        ([*HONEST, (8, 128)], "(8, 1, 1)]"),
    ],
)
def test_a_backbone_that_lies_about_its_maps(complaint, given, expected):
    OFFERED["backbone"] = Maps(HONEST, given)
    line = complaint(backbone="strange")
    assert line.startswith("detectors.x backbone 'strange': declares c0 8ch/8, c1 8ch/16")
    assert expected in line
    assert "out_features and its forward must agree" in line


@pytest.mark.parametrize("given", [torch.zeros(1, 8, 16, 16), None, "maps", [None] * 4])
def test_a_backbone_that_gives_no_list_of_maps(complaint, given):
    OFFERED["backbone"] = Maps(HONEST, HONEST)
    OFFERED["backbone"].forward = lambda pixels: given
    assert complaint(backbone="strange").startswith("detectors.x backbone 'strange': ")


def test_a_backbone_without_out_features(complaint):
    OFFERED["backbone"] = nn.Conv2d(3, 3, 1)
    line = complaint(backbone="strange")
    assert line.startswith("detectors.x backbone 'strange': has no out_features")


def test_a_neck_that_lies(complaint):
    OFFERED["backbone"] = Maps(HONEST, HONEST)
    neck = Maps(HONEST, HONEST)
    neck.forward = lambda maps: [m[:, :4] for m in maps]
    OFFERED["neck"] = neck
    line = complaint(backbone="strange", neck="strange")
    assert line.startswith("detectors.x neck 'strange': declares")
    assert "(4, 16, 16)" in line


@pytest.mark.parametrize(
    ("changes", "part", "expected"),
    [
        ({"neck": {"use": "tiny_fpn", "params": {"groups": [7, 5, 1]}}}, "neck 'tiny_fpn'", "4"),
        ({"neck": {"use": "tiny_fpn", "params": {"groups": [7, 5, 1, 2]}}}, "neck 'tiny_fpn'", "245"),
        ({"neck": {"use": "tiny_fpn", "params": {"channels": 240}}}, "", ""),
        ({"rpn": {"use": "tiny_rpn", "params": {"groups": 6}}}, "rpn 'tiny_rpn'", "245"),
        (
            {"roi_op": {"use": "psroi_align_max", "params": {"strides": [4, 8], "finest_scale": 30}}},
            "roi_op 'psroi_align_max'",
            "4",
        ),
        ({"backbone": {"use": "timm", "params": {"model": "resnet99"}}}, "backbone 'timm'", "resnet99"),
    ],
)  # fmt: skip
def test_joints_that_do_not_fit(complaint, changes, part, expected):
    line = complaint(**changes)
    assert line.startswith(f"detectors.x {part}")
    assert expected in line


@pytest.mark.parametrize("size", [100, [128, 130]])
def test_sizes_that_strides_do_not_divide_are_to_blame(complaint, size):
    line = complaint(input={"size": size})
    assert line.startswith("detectors.x backbone 'mobilenetv3_d'")
    assert "the sides must be multiples of 64: " in line
    assert ("64x64 or 128x128" if size == 100 else "128x128 or 128x192") + " would do" in line


def test_a_part_that_fails_at_such_a_size_names_sizes_too(complaint):
    def halve(pixels: Tensor) -> list[Tensor]:
        return [pixels.reshape(1, 3, -1, pixels.shape[3] // 64 * 64)]

    OFFERED["backbone"] = Maps(HONEST, HONEST)
    OFFERED["backbone"].forward = halve
    line = complaint(backbone="strange", input={"size": 100})
    assert "fails on its first image (RuntimeError" in line
    assert "64x64 or 128x128 would do" in line


def test_every_slot_is_filled_here():
    (two_stage,) = [a for a in harness_architectures() if a.name == "two_stage"]
    assert set(TINYDET_S) - {"input"} == set(two_stage.slots)
