"""The op against what the published system computed, forward and backward."""

import numpy as np
import pytest
import torch
from op_cases import Golden, golden_keys, load_golden

from harness.ops.psroi_reference import psroi_align_backward_reference, psroi_align_reference

CASES = [pytest.param(path, key, id=f"{path.stem}-{key}") for path, key in golden_keys()]
FORWARDS = {"reference": psroi_align_reference, "op": torch.ops.harness.psroi_align}
BACKWARDS = {
    "reference": psroi_align_backward_reference,
    "op": torch.ops.harness.psroi_align_backward,
}


def run(forward, case: Golden, features: torch.Tensor):
    size = (case.group, case.group, case.output_channels)
    return forward(features, case.rois, case.spatial_scale, *size, case.sampling_ratio, "max")


def check_gradient(gradient: torch.Tensor, case: Golden) -> None:
    picked = gradient.flatten()[case.grad_index]
    torch.testing.assert_close(picked, case.grad_value, rtol=1e-4, atol=1e-5)
    assert gradient.abs().double().sum().item() == pytest.approx(case.grad_abs_sum, rel=1e-5)


def test_golden_files_are_there():
    assert CASES


@pytest.mark.parametrize(("path", "key"), CASES)
@pytest.mark.parametrize("name", FORWARDS)
def test_forward_and_autograd(name, path, key):
    case = load_golden(path, key)
    features = case.features.clone().requires_grad_()
    output, _ = run(FORWARDS[name], case, features)
    torch.testing.assert_close(output, case.output, rtol=1e-5, atol=1e-5)
    output.backward(case.output_grad)
    check_gradient(features.grad, case)


@pytest.mark.parametrize(("path", "key"), CASES)
@pytest.mark.parametrize("name", BACKWARDS)
def test_backward(name, path, key):
    case = load_golden(path, key)
    _, argmax = run(FORWARDS[name], case, case.features)
    gradient = BACKWARDS[name](
        case.output_grad,
        case.rois,
        argmax,
        list(case.features.shape),
        case.spatial_scale,
        case.sampling_ratio,
        "max",
    )
    check_gradient(gradient, case)


def test_channels_last_gives_the_golden_output():
    case = load_golden(*golden_keys()[0])
    features = case.features.to(memory_format=torch.channels_last)
    output, _ = run(FORWARDS["op"], case, features)
    np.testing.assert_allclose(output, case.output, rtol=1e-5, atol=1e-5)
