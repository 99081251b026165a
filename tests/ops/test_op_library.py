"""What serves, and that it is said."""

import json
import os
import subprocess
import sys

import pytest
import torch
from op_cases import copy_ops

from harness.ops import implementation, library, status
from harness.ops.registration import REGISTERED


def test_status_names_the_library_or_the_reason():
    state = status()
    if state.compiled:
        assert state.path is not None
        assert state.path.exists()
        assert state.cuda or "no CUDA part" in (state.reason or "")
    else:
        assert state.path is None
        assert state.reason
    assert json.dumps(state.build)


def test_implementation_by_device():
    state = status()
    assert implementation() == ("compiled-cpu" if state.compiled else "reference")
    assert implementation("cuda:0") == ("compiled-cuda" if state.cuda else "reference")
    assert implementation(torch.device("meta")) == "reference"


@pytest.mark.parametrize("name", sorted(REGISTERED))
def test_python_and_cpp_declare_the_same(name):
    schema = REGISTERED[name].schema
    declared = getattr(torch.ops.harness, name).default._schema
    assert str(declared) == str(torch._C.parse_schema(f"harness::{schema}"))


UNCOMPILED = """
import warnings
import torch
import harness.ops as ops
assert not ops.status().compiled and ops.implementation() == "reference"
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    for _ in range(2):
        features = torch.rand(1, 8, 5, 5, requires_grad=True)
        rois = torch.tensor([[0.0, 0, 0, 3, 3]])
        ops.psroi_align(features, rois, 1.0, 2, 2).sum().backward()
        assert features.grad.abs().sum() > 0
        boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 4]]])
        ops.psroi_align_multilevel([features], boxes, [1], 8, 2, 2).sum().backward()
        kept, counts = ops.nms_padded(boxes, torch.tensor([2]), 0.5)
        assert kept.tolist() == [[0, 0]] and counts.tolist() == [1]
        scores = torch.tensor([[[0.5, 0.25]]])
        assert ops.soft_nms_padded(boxes, scores).tolist() == [[[0.5, 0.0]]]
        assert ops.select_boxes(boxes[None], scores, 1, 0.0)[1].tolist() == [[0.5]]
        maps = [torch.ones(1, 1, 1, 1)], [torch.zeros(1, 4, 1, 1)]
        assert ops.select_anchors(*maps, boxes[0, :1], 1, (9, 9), 1.0)[0].tolist() == [
            [[[0, 0, 4, 4]]]]
        image = torch.tensor([[[0, 100]]], dtype=torch.uint8)
        assert ops.resize_bilinear(image, (1, 4)).tolist() == [[[0, 25, 75, 100]]]
        x = torch.ones(1, 1, 1, 1)
        conv = torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Conv2d(1, 1, 1)
        found = ops.separable_conv([x], [ops.pack_separable(*conv)])
        torch.testing.assert_close(found[0], conv[1](conv[0](x)).detach()[0, 0])
names = sorted(str(warning.message).split()[0] for warning in seen)
assert names == ["harness.ops." + name for name in
    ("nms_padded", "psroi_align", "psroi_align_backward", "psroi_align_multilevel",
     "psroi_align_multilevel_backward", "resize_bilinear", "select_anchors", "select_boxes",
     "separable_conv", "soft_nms_padded")], names
args = (torch.rand(1, 8, 5, 5, requires_grad=True), rois, 1.0, 2, 2, 2, 2, "max")
torch.library.opcheck(torch.ops.harness.psroi_align, args)
print("served")
"""


@pytest.mark.slow
def test_without_a_library_the_reference_serves_and_says_so_once(tmp_path):
    copy_ops(tmp_path / "harness")
    done = subprocess.run(
        [sys.executable, "-P", "-c", UNCOMPILED],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "served" in done.stdout


def test_a_library_that_does_not_load_is_a_reason(tmp_path, monkeypatch):
    (tmp_path / "_C.abi3.so").write_bytes(b"not a library")
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    path, reason = library._load("_C", None)
    assert path is None
    assert "_C.abi3.so does not load" in reason


@pytest.mark.parametrize(
    ("codes", "capability", "served"),
    [
        (["sm_90"], (9, 0), True),
        (["sm_80"], (8, 6), True),  # a later minor version
        (["sm_86"], (8, 0), False),
        (["sm_90"], (10, 0), False),
        (["sm_90", "compute_90"], (10, 0), True),  # PTX
        (["sm_90", "compute_90"], (8, 0), False),
        (["sm_75", "sm_100"], (10, 3), True),
        ([], (7, 0), True),  # a build that did not say
    ],
)
def test_which_gpus_a_binary_has_kernels_for(codes, capability, served):
    flags = ["-O3", *(f"-gencode=arch=compute_{c.partition('_')[2]},code={c}" for c in codes)]
    assert library.serves(flags, capability) is served


def test_on_a_gpu_without_kernels_the_reference_serves_and_it_is_said(monkeypatch):
    build = {"cuda_flags": ["-gencode=arch=compute_90,code=sm_90"]}
    loaded = []
    monkeypatch.setattr(library, "_read_build", lambda: build)
    monkeypatch.setattr(library, "_load", lambda name, _: (loaded.append(name) or name, None))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (7, 5))
    state = library.status.__wrapped__()
    assert (state.cuda, loaded) == (False, ["_C"])
    assert state.reason == (
        "no CUDA part: it has no kernels for compute capability 7.5; reinstall the package here"
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    assert library.status.__wrapped__().cuda
