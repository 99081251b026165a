"""A detector and a loader small enough to train in a blink, and a program that trains them."""

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.batch import Inputs, Targets
from harness.data.resize import SquashResize
from harness.errors import Interrupted
from harness.manifest.schema import Train
from harness.model.detector import Detector
from harness.model.types import Detections
from harness.stages.train import training
from harness.stages.train.loop import train

SIDE, IMAGES, SEED = 16, 20, 3


class ToyDetector(Detector):
    """Says of each image which of three colours it has and where its one box begins."""

    classes = ("red", "green", "blue")
    resize = SquashResize(SIDE, SIDE)
    roles: ClassVar = {}

    def __init__(self, norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.stem = nn.Conv2d(3, 8, 3, padding=1)
            self.head = nn.Linear(8, 3 + 4)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.poison_at: int | None = None
        self.calls = 0

    def normalize(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.head.weight.dtype) / 127.5 - 1

    def network(self, inputs: Inputs) -> Tensor:
        return self.head(self.dropout(self.norm(self.stem(inputs.pixels)).relu().mean((2, 3))))

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        outputs, self.calls = self.network(inputs), self.calls + 1
        box = F.l1_loss(outputs[:, 3:], targets.boxes[:, 0] / SIDE)
        if self.calls == self.poison_at:
            box = box * float("nan")
        return {"loss_cls": F.cross_entropy(outputs[:, :3], targets.labels[:, 0]), "loss_box": box}

    def postprocess(self, outputs: Any, inputs: Inputs) -> Detections:
        raise NotImplementedError("a toy that is only trained")


class ToyLoader:
    """The interface of `harness.data.loader.TrainLoader`, from memory."""

    most_boxes = 1

    def __init__(
        self, batch_size: int = 4, rank: int = 0, world: int = 1, pause: float = 0
    ) -> None:
        self.batch_size, self.rank, self.world, self.pause = batch_size, rank, world, pause
        self.steps_per_epoch = IMAGES // (batch_size * world)

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[Inputs, Targets]]:
        torch.rand(7)  # as DataLoader does: opening one draws from torch's generator
        order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(epoch)).tolist()
        for step in range(start, self.steps_per_epoch):
            time.sleep(self.pause)
            first = (step * self.world + self.rank) * self.batch_size
            yield toy_batch(epoch, order[first : first + self.batch_size])


def toy_batch(epoch: int, indices: list[int]) -> tuple[Inputs, Targets]:
    images, boxes = [], []
    for index in indices:
        generator = torch.Generator().manual_seed(1000 * epoch + index)
        image = torch.randint(0, 90, (3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
        image[index % 3] += 150
        images.append(image)
        boxes.append([[index % 5, index % 7, index % 5 + 6, index % 7 + 4]])
    sizes = torch.tensor([[SIDE, SIDE]] * len(indices))
    inputs = Inputs(torch.stack(images), sizes, torch.ones(len(indices), 2), sizes)
    labels = torch.tensor([[index % 3] for index in indices])
    counts = torch.ones(len(indices), dtype=torch.int64)
    return inputs, Targets(torch.tensor(boxes, dtype=torch.float32), labels, counts)


def toy_settings(**changes: Any) -> Train:
    given = {
        "epochs": 4,
        "batch_size": 4,
        "optimizer": {"name": "adamw", "lr": 0.02, "weight_decay": 1e-4},
        "schedule": {"warmup_steps": 3, "warmup_factor": 0.1},
        "log_every": 3,
    }
    return Train.model_validate(given | changes)


def main() -> int:
    """Train in a process of its own, telling each step, so that a test can kill it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--dump-rank", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    training.SAVE_SHARE = math.inf  # a toy's epoch is shorter than a checkpoint takes
    detector = ToyDetector()
    try:
        result = train(
            detector,
            lambda rank, world: ToyLoader(4 // world, rank, world, given.pause),
            toy_settings(epochs=given.epochs),
            seed=SEED,
            folder=given.folder,
            fingerprint="toy",
            resume=given.resume,
            on_progress=lambda progress: print("step", progress.step, flush=True),
        )
    except Interrupted as stopped:
        print(stopped, flush=True)
        return stopped.exit_code
    print("done", result.steps, flush=True)
    if given.dump_rank:
        torch.save(detector.state_dict(), given.folder / f"rank{os.environ['RANK']}.pt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
