"""A timm backbone under TinyDet's other parts, chosen in a manifest alone."""

import numpy as np
import pytest

import harness
from harness.errors import UserError

MANIFEST = """
suite: timm
defaults:
  meters: []
  columns: []
  detector:
    input: {{size: 128}}
    neck: {{use: tiny_fpn, params: {{groups: [7, 5, 1]}}}}
    rpn: tiny_rpn
    roi_op: {{use: psroi_align_max, params: {{strides: [8, 16], finest_scale: 30}}}}
    box_head: tiny_box_head
profiles:
  quick: {{data: synthetic}}
detectors:
  mixed:
    backbone: {{use: timm, params: {{model: {model}, out_indices: {indices}}}}}
"""


def build(tmp_path, model, indices):
    path = tmp_path / "suite.yaml"
    path.write_text(MANIFEST.format(model=model, indices=indices))
    return harness.build(path, "mixed", classes=["a", "b"])


@pytest.mark.parametrize("model", ["resnet18", "mobilenetv3_small_100"])
def test_a_timm_backbone_stands_under_tiny_fpn(tmp_path, model):
    detector = build(tmp_path, model, "[2, 3, 4]")
    assert [f.stride for f in detector.neck.out_features] == [8, 16, 32]
    image = np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8)
    (found,) = detector.predict([image])
    assert found["boxes"].shape[1] == 4
    assert len(found["boxes"]) == len(found["scores"]) > 0


def test_a_misspelt_model_names_its_place(tmp_path):
    with pytest.raises(UserError, match=r"mixed.*backbone 'timm'.*did you mean 'resnet18'"):
        build(tmp_path, "resnt18", "[2, 3, 4]")
