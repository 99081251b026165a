"""Builders of small ground truths, pseudo-detections and a small detector."""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.data.batch import Inputs, Targets
from harness.data.resize import SquashResize
from harness.model.detector import Detector
from harness.model.types import Detections


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and busy machines lose."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def real_annotations(shared_data: Path) -> Callable[[str], Path]:
    """Name of a real data set -> its validation annotations; skips where they are absent."""

    def find(name: str) -> Path:
        path = shared_data / name / "annotations" / "instances_val.json"
        if not path.exists():
            pytest.skip(f"{name} is not in {shared_data}")
        return path

    return find


@pytest.fixture
def write_annotations(tmp_path: Path) -> Callable[..., Path]:
    """Boxes (image, category, x, y, w, h[, extra fields]) -> an annotation file."""

    def write(boxes: list[tuple[Any, ...]], images: int = 2, classes: int = 2) -> Path:
        content = {
            "images": [
                {"id": i, "width": 400, "height": 400, "file_name": f"{i}.jpg"}
                for i in range(1, images + 1)
            ],
            "categories": [{"id": 10 * c, "name": f"class{c}"} for c in range(1, classes + 1)],
            "annotations": [annotation(i, *box) for i, box in enumerate(boxes)],
        }
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content))
        return path

    return write


def annotation(
    number: int, image: int, category: int, x: float, y: float, w: float, h: float, *extra: Any
) -> dict[str, Any]:
    fields = {"area": w * h, "iscrowd": 0, **(extra[0] if extra else {})}
    box = [x, y, w, h]
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, **fields}


@pytest.fixture
def noisy_detections() -> Callable[..., list[dict[str, Any]]]:
    """Pseudo-detections: ground truth moved, resized, sometimes of another class, tied scores."""

    def make(path: Path, seed: int = 0, copies: int = 3) -> list[dict[str, Any]]:
        content, rng = json.loads(path.read_text()), random.Random(seed)
        categories = [category["id"] for category in content["categories"]]
        return [
            disturb(truth, categories, rng)
            for truth in content["annotations"]
            for _ in range(copies)
        ]

    return make


def disturb(truth: dict[str, Any], categories: list[int], rng: random.Random) -> dict[str, Any]:
    x, y, w, h = truth["bbox"]
    moved = [x + rng.gauss(0, 0.1 * w), y + rng.gauss(0, 0.1 * h)]
    same = rng.random() < 0.9
    return {
        "image_id": truth["image_id"],
        "category_id": truth["category_id"] if same else rng.choice(categories),
        "bbox": [*moved, w * rng.uniform(0.7, 1.4), h * rng.uniform(0.7, 1.4)],
        "score": round(rng.random(), 2),
    }


class TinyConvDetector(Detector):
    """A stem, a shared head used on two maps, a linear layer and an unnamed scale."""

    roles: Mapping[str, tuple[str, ...]] = {
        "backbone": ("stem", "body"),
        "neck": ("body.neck",),
        "roi_op": ("absent",),
        "head": ("head", "fc"),
    }

    def __init__(self, side: int = 32) -> None:
        super().__init__()
        self.classes = ("a", "b")
        self.resize = SquashResize(side, side)
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.body = nn.ModuleDict(
            {"conv": nn.Conv2d(8, 8, 1), "neck": nn.Conv2d(8, 8, 3, groups=4)}
        )
        self.head = nn.Conv2d(8, 4, 1)
        self.fc = nn.Linear(4, 6)
        self.scale = nn.Parameter(torch.ones(1))
        self.delay = 0.0

    def normalize(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.scale.dtype) / 255

    def network(self, inputs: Inputs) -> Tensor:
        features = self.body["neck"](self.body["conv"](self.stem(inputs.pixels)))
        maps = [self.head(features), self.head(features[..., ::2, ::2])]
        return self.fc(sum(m.mean((2, 3)) for m in maps) * self.scale)

    def postprocess(self, outputs: Tensor, inputs: Inputs) -> Detections:
        time.sleep(self.delay)
        batch = len(outputs)
        sizes = inputs.image_sizes.to(outputs.dtype)
        box = torch.stack([sizes[:, 1] / 4, sizes[:, 0] / 4, sizes[:, 1] / 2, sizes[:, 0] / 2], 1)
        scores = outputs[:, :2].sigmoid()
        labels = torch.arange(2, device=outputs.device).expand(batch, 2)
        counts = torch.full((batch,), 2, device=outputs.device)
        return Detections(box[:, None].expand(batch, 2, 4), scores, labels, counts)

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        raise NotImplementedError


@pytest.fixture
def detector() -> TinyConvDetector:
    torch.manual_seed(0)
    return TinyConvDetector()


@pytest.fixture
def image() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8, generator=generator)
