"""examples/onnx_one_stage.py finds what the detector finds, where there is neither torch nor us."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness.files import write_json
from harness.modes.build import find_mode
from harness.run.model_files import MODEL, describe

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "onnx_one_stage.py"
ALONE = f"""
import json, runpy, sys
from PIL import Image
for absent in ("torch", "harness", "harness_plugins"):
    sys.modules[absent] = None  # importing it is an error
detect = runpy.run_path({str(EXAMPLE)!r})["detect"]
print(json.dumps([detect("files", Image.open("image.png"))]))
"""


def test_it_finds_what_the_detector_finds_without_torch_and_harness(tmp_path: Path):
    torch.manual_seed(0)
    small = ["detectors.yolox_nano.input.size=128"]
    detector = harness.build(
        ROOT / "suites" / "yolox.yaml", "yolox_nano", classes=("disc", "bar"), overrides=small
    ).eval()
    head = detector.part("head")
    for conv in (*head.cls_preds, *head.obj_preds):  # scores that differ, about one half
        conv.weight.data.mul_(20)
        conv.bias.data.zero_()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 26, 3), dtype=np.uint8)
    # of the input's width: nothing is resampled; no period of the strides, so no two alike
    pixels = pixels.repeat(5, 0).repeat(5, 1)[:96, :128]
    Image.fromarray(pixels).save(tmp_path / "image.png")
    with torch.no_grad():
        [wanted] = detector.predict([pixels])
        folder = tmp_path / "files"
        folder.mkdir()
        saved = find_mode("onnxruntime").load()().save(detector, folder, 1)
    write_json(folder / MODEL, {**saved, **describe(detector)})
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)
    assert len(found) == len(wanted["scores"]) > 10
    names, scores, boxes = zip(*found, strict=True)
    assert list(scores) == sorted(scores, reverse=True)
    np.testing.assert_allclose(scores, wanted["scores"], atol=1e-4)
    for name, score, box in zip(names, scores, boxes, strict=True):  # rounding may swap neighbours
        near = np.abs(np.asarray(wanted["boxes"]) - box).max(1) < 0.05
        near &= np.abs(np.asarray(wanted["scores"]) - score) < 1e-4
        assert name in {detector.classes[label] for label in np.asarray(wanted["labels"])[near]}
