"""Counts against hand-computed layers, and TinyDet against the published figures."""

import math
from collections import Counter
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.model.types import Proposals
from harness.plugin.metrics import Finding
from harness.stages.cost import measure_cost
from harness_plugins.meters import harness_meters
from harness_plugins.meters.fvcore_counts import Activations, MacsFvcore
from harness_plugins.meters.macs_paper import MacCounter, MacsPaper
from harness_plugins.meters.parameters import Parameters
from harness_plugins.meters.roles import proposal_conditions, role_of, sum_by_role

STEM = 16 * 16 * 8 * 3 * 9
CONV = 16 * 16 * 8 * (8 + 1)
NECK = 14 * 14 * 8 * (2 * 9 + 1)
HEAD = (14 * 14 + 7 * 7) * 4 * (8 + 1) + 4 * 6


def by_scope(measured, metric):
    return {m.scope: m for m in measured if m.metric == metric}


def count(model: nn.Module, *inputs: torch.Tensor) -> MacCounter:
    with torch.no_grad(), MacCounter(model) as counter:
        model(*inputs)
    return counter


def test_paper_macs_of_a_small_detector_by_role(detector, image):
    found = by_scope(measure_cost(detector, [MacsPaper()], image), "macs_paper")
    counts = {scope: m.count for scope, m in found.items()}
    assert counts == {
        "": STEM + CONV + NECK + HEAD,
        "role/backbone": STEM + CONV,
        "role/neck": NECK,
        "role/roi_op": 0,
        "role/head": HEAD,
    }
    assert found[""].value == counts[""] / 1e6
    assert found[""].conditions["input_size"] == "32x32"
    assert found[""].warnings == ()


def test_parameters_by_role_with_a_rest(detector, image):
    found = by_scope(measure_cost(detector, [Parameters()], image), "parameters")
    assert {scope: m.count for scope, m in found.items()} == {
        "": 216 + 72 + 152 + 36 + 30 + 1,
        "role/backbone": 216 + 72,
        "role/neck": 8 * 2 * 9 + 8,
        "role/roi_op": 0,
        "role/head": 36 + 30,
        "role/other": 1,
    }


def test_fvcore_counts_agree_with_layers_but_for_biases(detector, image):
    measured = measure_cost(detector, [MacsFvcore(), Activations()], image)
    macs = by_scope(measured, "macs_fvcore")
    assert macs["role/backbone"].count == STEM + 16 * 16 * 8 * 8
    assert macs["role/neck"].count == 14 * 14 * 8 * 2 * 9
    assert macs[""].count == sum(m.count for scope, m in macs.items() if scope)
    assert macs[""].conditions["counter"].startswith("fvcore ")
    assert "aten::mean" in macs[""].conditions["unsupported_ops"]
    activations = by_scope(measured, "activations")
    assert activations["role/backbone"].count == 2 * 16 * 16 * 8
    assert activations["role/head"].count == (14 * 14 + 7 * 7) * 4 + 6


def test_measuring_leaves_the_detector_as_it_was(detector, image):
    detector.train()
    detector.stem.eval()
    before = detector.state_dict()
    measure_cost(detector, [MacsPaper(), MacsFvcore(), Parameters(), Activations()], image)
    assert detector.training
    assert not detector.stem.training
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in detector.modules())
    assert all(torch.equal(before[key], value) for key, value in detector.state_dict().items())


def test_network_that_cannot_be_traced_is_nan_with_the_reason(detector, image, monkeypatch):
    network = type(detector).network

    def untraceable(self, inputs):
        if torch.jit.is_tracing():
            raise RuntimeError("no tracing\nhere")
        return network(self, inputs)

    monkeypatch.setattr(type(detector), "network", untraceable)
    (number,) = measure_cost(detector, [MacsFvcore()], image)
    assert math.isnan(number.value)
    told = {"reason": "RuntimeError: no tracing here"}
    assert number.warnings == (Finding("not_traced", params=told),)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in detector.modules())


def test_meters_are_declared_with_their_metrics(detector, image):
    for meter in harness_meters():
        if meter.stage == "cost":
            measured = measure_cost(detector, [meter.load()()], image)
            assert {m.metric for m in measured} == {spec.name for spec in meter.specs()}
            assert {spec.better for spec in meter.specs()} == {"lower"}


@settings(max_examples=40, deadline=None)
@given(
    groups=st.integers(1, 3),
    wide=st.integers(1, 3),
    out=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    bias=st.booleans(),
    transposed=st.booleans(),
)
def test_convolutions_count_every_product(groups, wide, out, kernel, stride, bias, transposed):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    conv = kind(groups * wide, groups * out, kernel, stride, groups=groups, bias=bias)
    x = torch.ones(2, groups * wide, 5, 7)
    nn.init.ones_(conv.weight)
    counter = count(conv, x)
    biases = conv(x).numel() if bias else 0
    # with ones everywhere, the sum of the outputs is the number of products
    products = F.conv_transpose2d if transposed else F.conv2d
    total = products(x.double(), conv.weight.double(), stride=stride, groups=groups).sum()
    assert sum(counter.counts.values()) == int(total) + biases
    assert counter.warnings() == ()


class MatmulConv(nn.Conv2d):
    """A 1x1 convolution that computes itself as a matrix product."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("oi,bihw->bohw", self.weight[:, :, 0, 0], x)


def test_convolution_computed_as_a_product_counts_as_a_convolution():
    counter = count(MatmulConv(4, 6, 1, bias=False), torch.ones(1, 4, 3, 3))
    assert counter.counts == Counter({"": 4 * 6 * 9})
    assert counter.warnings() == ()


class Loose(nn.Module):
    """Products outside convolution and linear modules."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, 4))
        self.inside = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(self.inside(x), self.weight)


def test_products_outside_modules_are_reported_and_not_counted():
    counter = count(Loose(), torch.ones(1000, 4))
    assert counter.counts == Counter({"inside": 16_000})
    assert sum(counter.outside.values()) == 20_000
    (warning,) = counter.warnings()
    assert warning.code == "not_counted"
    assert warning.params["mmacs"] == 0.02


def test_longest_prefix_decides_the_role():
    roles = {"backbone": ("body",), "neck": ("body.fpn",)}
    assert role_of("body.stem.conv", roles) == "backbone"
    assert role_of("body.fpn", roles) == "neck"
    assert role_of("body.fpn.inner.0", roles) == "neck"
    assert role_of("bodywork", roles) == "other"
    assert sum_by_role({"body": 1, "body.fpn.x": 2}, roles) == {"backbone": 1, "neck": 2}


@dataclass
class Outputs:
    proposals: object


def test_proposals_stand_in_the_conditions():
    padded = Proposals(torch.zeros(1, 200, 4), torch.zeros(1, 200), torch.tensor([7]))
    assert proposal_conditions(Outputs(padded)) == {"proposals": 200, "proposals_valid": 7}
    ragged = [torch.zeros(150, 4)]
    assert proposal_conditions(Outputs(ragged)) == {"proposals": 150, "proposals_valid": 150}
    assert proposal_conditions(torch.zeros(3)) == {}


def test_other_number_of_proposals_than_the_papers_is_a_warning(detector, image, monkeypatch):
    monkeypatch.setattr(
        type(detector), "network", lambda self, inputs: Outputs([torch.zeros(150, 4)])
    )
    total = measure_cost(detector, [MacsPaper()], image)[0]
    told = {"proposals": 150, "paper": 200}
    assert total.warnings == (Finding("proposals_differ", "remark", told),)
