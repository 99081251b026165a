"""Libraries built against one end of the supported range of torch serve the other end as well.

`HARNESS_OTHER_OPS` names the folder `harness/ops` of an installation whose libraries were built
against another torch: `.ci/run` hands the newest build to the oldest torch and the other way round.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from op_cases import assert_equal, copy_ops

from harness.ops import library

pytestmark = pytest.mark.slow

RUN = """
import json
import sys
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from harness import ops

torch.manual_seed(0)
corners = torch.rand(2, 40, 2) * 60
boxes = torch.cat([corners, corners + torch.rand(2, 40, 2) * 30 + 1], -1)
rois = torch.cat([torch.zeros(40, 1), boxes[0]], 1)
maps = [torch.randn(2, 18, 80 // s, 80 // s, requires_grad=True) for s in (4, 8)]
found = []


def pool(pooled, inputs):
    found.append(pooled)
    found.extend(torch.autograd.grad(pooled, inputs, torch.randn_like(pooled)))


class Called(TorchDispatchMode):
    names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name())
        return function(*args, **(kwargs or {}))


with Called():
    for reduce in ("max", "mean"):
        pool(ops.psroi_align(maps[0], rois, 0.25, 3, 2, 2, reduce), maps[:1])
        levels = ops.psroi_align_multilevel(maps, boxes, (4, 8), 16.0, 3, 2, 2, reduce, True)
        pool(levels, maps)
    pool(ops.average_fours(maps[0]), maps[:1])
    found.extend(ops.nms_padded(boxes, torch.tensor([40, 7]), 0.5))
    scores = torch.rand(2, 3, 40)
    found.append(ops.soft_nms_padded(boxes, scores))
    found.extend(ops.select_boxes(boxes[:, None].expand(-1, 3, -1, -1), scores, 50, 0.1))
    logits = [torch.randn(2, 3, s, s) for s in (8, 4)]
    deltas = [torch.randn(2, 12, s, s) for s in (8, 4)]
    anchors = boxes.flatten(0, 1).repeat(4, 1)
    rows = sum(x[0].numel() for x in logits)
    found.extend(ops.select_anchors(logits, deltas, anchors[:rows], 30, (60, 60), 4.0))
    image = torch.randint(0, 256, (3, 31, 47), dtype=torch.uint8)
    found.append(ops.resize_bilinear(image, (20, 30)))
    layers = torch.nn.Conv2d(18, 18, 3, padding=1, groups=18), torch.nn.Conv2d(18, 18, 1, groups=2)
    weights = torch.randint(0, 3, (20, 5), dtype=torch.int32)
    points = torch.arange(99, dtype=torch.int8)
    some, hits = torch.randint(0, 5, (9,)), torch.rand(2, 9) > 0.5
    packed, rows = ops.pack_weights(weights), torch.zeros(32, dtype=torch.int64)
    places = some, some, torch.arange(1, 10), hits, torch.zeros(2, 9, dtype=torch.int8)
    found.append(ops.resampled_ap(packed, points, rows, *places))
    found.append(ops.separable_conv(maps, [ops.pack_separable(*layers)] * 2, 24, relu=True))

declared = {n for n in torch._C._dispatch_get_all_op_names() if n.startswith("harness::")}
assert Called.names >= declared, f"not run here: {declared - Called.names}"
state = ops.status()
said = {"path": str(state.path), "cuda": state.cuda, "reason": state.reason, "build": state.build}
torch.save(([x.detach() for x in found], json.dumps(said)), sys.argv[1])
"""


def run_with(libraries: Path, folder: Path) -> tuple[list[torch.Tensor], dict]:
    """Runs every op under this Python and torch, with the libraries of another installation."""
    package = folder / "harness"
    copy_ops(package)
    for path in [*libraries.glob("_C*.so"), libraries / "_build.json"]:
        shutil.copy(path, package / "ops")
    result = folder / "result.pt"
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, result],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tensors, said = torch.load(result)
    state = json.loads(said)
    assert Path(state["path"]).parent == package / "ops", "another library was loaded"
    return tensors, state


def test_another_torchs_build_gives_the_same_bits(tmp_path: Path):
    if not (other := os.environ.get("HARNESS_OTHER_OPS")):
        pytest.skip("HARNESS_OTHER_OPS names no build against another torch")
    expected, own = run_with(library.FOLDER, tmp_path / "own")
    found, state = run_with(Path(other), tmp_path / "other")
    assert state["build"]["torch"] != own["build"]["torch"]
    assert state["cuda"] == state["build"]["cuda"], state["reason"]
    assert_equal(found, expected)
