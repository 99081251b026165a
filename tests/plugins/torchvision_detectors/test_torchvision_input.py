"""A manifest may say how images come to torchvision's detectors; the rest stays theirs."""

from pathlib import Path

import pytest
import torch

import harness

SUITE = """\
suite: given
defaults: {{meters: [macs_paper], columns: [macs_paper], detector: {{input: {{size: 64}}}}}}
profiles: {{quick: {{data: synthetic}}}}
detectors:
  own: {{detector: {use}}}
  given: {{detector: {use}, input: {{size: [192, 256], channels: bgr}}}}
"""


@pytest.mark.parametrize(
    "use", ["ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn"]
)
def test_size_and_channels(tmp_path: Path, use: str):
    (tmp_path / "m.yaml").write_text(SUITE.format(use=use))
    own, given = (harness.build(tmp_path / "m.yaml", n, classes=2) for n in ("own", "given"))
    assert 320 in own.resize.describe().values()
    image = torch.randint(0, 256, (3, 192, 256), dtype=torch.uint8)
    inputs = given.preprocess([image])
    assert tuple(inputs.pixels.shape) == (1, 3, 192, 256)
    assert torch.equal(given.mean, own.mean)
    assert torch.equal(inputs.pixels, own.normalize(image[None]).flip(1))
    (found,) = given.predict([image])
    assert found["boxes"].shape[1] == 4
