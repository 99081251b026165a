"""What serves, and that it is said."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from harness.ops import (
    implementation,
    library,
    nms,
    psroi,
    psroi_multilevel,
    resize,
    soft_nms,
    status,
)


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


@pytest.mark.parametrize(
    "schema",
    [
        psroi.SCHEMA,
        psroi.BACKWARD_SCHEMA,
        psroi_multilevel.SCHEMA,
        psroi_multilevel.BACKWARD_SCHEMA,
        nms.SCHEMA,
        resize.SCHEMA,
        soft_nms.SCHEMA,
    ],
)
def test_python_and_cpp_declare_the_same(schema):
    name = schema.partition("(")[0]
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
        assert ops.soft_nms_padded(boxes, torch.tensor([[0.5, 0.25]])).tolist() == [[0.5, 0.0]]
        image = torch.tensor([[[0, 100]]], dtype=torch.uint8)
        assert ops.resize_bilinear(image, (1, 4)).tolist() == [[[0, 25, 75, 100]]]
names = sorted(str(warning.message).split()[0] for warning in seen)
assert names == ["harness.ops." + name for name in
    ("nms_padded", "psroi_align", "psroi_align_backward", "psroi_align_multilevel",
     "psroi_align_multilevel_backward", "resize_bilinear", "soft_nms_padded")], names
args = (torch.rand(1, 8, 5, 5, requires_grad=True), rois, 1.0, 2, 2, 2, 2, "max")
torch.library.opcheck(torch.ops.harness.psroi_align, args)
print("served")
"""


def test_without_a_library_the_reference_serves_and_says_so_once(tmp_path):
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").touch()
    ignore = shutil.ignore_patterns("_C*", "_build.json", "__pycache__")
    shutil.copytree(library.FOLDER, tmp_path / "harness" / "ops", ignore=ignore)
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
