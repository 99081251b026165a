"""The synthetic data set as real files in the cache."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.data.cache import cache_folder, make_folder
from harness.data.folder import SPLITS, CocoFolder
from harness.data.source import Split, SplitName
from harness_plugins.synthetic.scenes import Scene, draw_scene
from harness_plugins.synthetic.shapes import SHAPES

VERSION = 1  # raise it with every change that alters a pixel or a box
LISTING = "files.json"
QUALITY = 92


class SyntheticSource:
    """Made on `prepare`, then read as any COCO-format folder."""

    name = "synthetic"

    def __init__(self, train_images: int, val_images: int, side: int, seed: int) -> None:
        self.images: dict[SplitName, int] = {"train": train_images, "val": val_images}
        self.side, self.seed = side, seed
        self.root = cache_folder() / f"synthetic-{self.fingerprint()[:16]}"
        self.folder = CocoFolder(self.root, self.name)

    def fingerprint(self) -> str:
        """Hash of the generator's version and the parameters."""
        key = json.dumps([VERSION, self.images, self.side, self.seed])
        return hashlib.sha256(key.encode()).hexdigest()

    def classes(self) -> tuple[str, ...]:
        return tuple(shape.name for shape in SHAPES)

    def prepare(self) -> None:
        """Make the files unless they are there; a few seconds.

        Raises:
            UserError: the cache cannot be written.
        """
        make_folder(self.root, self._fill, is_complete)

    def split(self, name: SplitName) -> Split:
        return self.folder.split(name)

    def check(self, name: SplitName, thorough: bool = False) -> tuple[str, ...]:
        """As `CocoFolder.check`."""
        return self.folder.check(name, thorough)

    def _fill(self, root: Path) -> None:
        (root / "annotations").mkdir(parents=True)
        for name in SPLITS:
            (root / name).mkdir()
            write_split(root, name, self._scenes(name))
        listing = {str(p.relative_to(root)): p.stat().st_size for p in root.rglob("*.*")}
        (root / LISTING).write_text(json.dumps(listing))

    def _scenes(self, name: SplitName) -> Iterator[Scene]:
        for index in range(self.images[name]):
            entropy = (VERSION, self.seed, SPLITS.index(name), index)
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
            yield draw_scene(self.side, rng)


def is_complete(root: Path) -> bool:
    """Whether every file of the listing is there with its size."""
    try:
        listing = json.loads((root / LISTING).read_text())
        return all((root / name).stat().st_size == size for name, size in listing.items())
    except (OSError, ValueError):
        return False


def write_split(root: Path, name: SplitName, scenes: Iterable[Scene]) -> None:
    """JPEG files and a COCO annotation file; `area` is that of the mask, as in COCO."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes, 1):
        file_name = f"{number:06d}.jpg"
        Image.fromarray(scene.pixels).save(root / name / file_name, quality=QUALITY)
        height, width = scene.pixels.shape[:2]
        images.append({"id": number, "file_name": file_name, "width": width, "height": height})
        annotations += [
            {
                "id": len(annotations) + position,
                "image_id": number,
                "category_id": placed.label + 1,
                "bbox": list(placed.box),
                "area": placed.area,
                "iscrowd": 0,
                "segmentation": [],
            }
            for position, placed in enumerate(scene.objects, 1)
        ]
    document = {
        "info": {"description": f"synthetic shapes, generator {VERSION}, {name}"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": shape.name} for i, shape in enumerate(SHAPES, 1)],
    }
    (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(document))
