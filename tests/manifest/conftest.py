"""A manifest with a value in every layer."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.manifest.suite import Manifest, load_manifest

MANIFEST = """\
suite: demo
defaults:
  meters: [coco_ap]
  columns: [ap]
  evaluate: {batch_size: 4}
  detector:
    input: {size: 320}
    neck: {use: tiny_fpn, params: {channels: 245}}
    rpn: tiny_rpn
    roi_op: psroi_align_max
    box_head: tiny_box_head
    train: {steps: 100, optimizer: {lr: 0.5, momentum: 0.8}}
profiles:
  quick:
    data: synthetic
    evaluate: {max_images: 7}
    detector:
      train: {batch_size: 2, optimizer: {lr: 0.25}}
  long:
    data: {use: coco, params: {root: data/coco}}
    detector:
      train: {batch_size: 32}
detectors:
  one:
    backbone: mobilenetv3_d
    neck: {params: {groups: [7, 5, 1, 1]}}
    profiles:
      quick:
        train: {optimizer: {momentum: 0.7}}
      long:
        train: {batch_size: 8}
  two:
    backbone: mobilenetv3_bc
    neck: other_neck
    train: {optimizer: {lr: 0.125}}
  whole:
    detector: ssdlite
"""


Load = Callable[..., Manifest]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a manifest given as text, the one above by default."""

    def read(
        text: str = MANIFEST, profile: str | None = None, sets: Sequence[str] = ()
    ) -> Manifest:
        path = tmp_path / "m.yaml"
        path.write_text(text)
        return load_manifest(path, profile, sets)

    return read


@pytest.fixture
def complaint(load: Load, tmp_path: Path) -> Callable[..., str]:
    """The one line that a manifest is refused with; the file is called m.yaml in it."""

    def read(*args: object, **kwargs: object) -> str:
        with pytest.raises(UserError) as caught:
            load(*args, **kwargs)
        line = str(caught.value).replace(str(tmp_path / "m.yaml"), "m.yaml")
        assert "\n" not in line
        return line

    return read
