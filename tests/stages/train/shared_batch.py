"""A program: a detector trained on drawn photos by one process, by two, by four.

In all, `BATCH` images make a step, and batch norms are frozen: nothing but the order of sums
differs between the numbers of processes.
"""

import argparse
import os
import socket
import sys
import traceback
from pathlib import Path

import torch
from torch import nn

import harness
from harness.data.loader import train_loader
from harness.manifest.schema import Train
from harness.stages.train.loop import train
from harness_plugins.synthetic.source import SyntheticSource

SUITE = Path(__file__).parents[3] / "suites" / "tinydet.yaml"
BATCH = 4


class FrozenNorm(nn.BatchNorm2d):
    """Normalises by its running statistics, in training as well."""

    def train(self, mode: bool = True) -> "FrozenNorm":
        return super().train(False)


def freeze_norms(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.__class__ = FrozenNorm


def run(given: argparse.Namespace, processes: int) -> None:
    """This process's part of a training."""
    torch.manual_seed(0)
    name, size = given.detector, f"detectors.{given.detector}.input.size=128"
    detector = harness.build(SUITE, name, overrides=[size] if "tinydet" in name else [])
    freeze_norms(detector)
    source = SyntheticSource(train_images=12, val_images=1, side=160, seed=0)
    settings = Train.model_validate(
        {
            "steps": given.steps,
            "batch_size": BATCH // processes,
            "workers": 0,
            "log_every": 1,
            "optimizer": {"lr": 0.01},
            "schedule": {"warmup_steps": 5},
        }
    )
    train(
        detector,
        lambda rank, world: train_loader(
            source.split("train"), detector.resize, settings, 0, rank=rank, world=world
        ),
        settings,
        seed=0,
        folder=given.folder / str(processes),
    )


def fork(given: argparse.Namespace, processes: int) -> None:
    """As torchrun, without importing torch in each of them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        if child := os.fork():
            children.append(child)
            continue
        if processes > 1:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
            place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.environ |= {name: str(value) for name, value in place.items()}
        try:
            run(given, processes)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    ends = [os.waitpid(child, 0)[1] for child in children]
    if any(ends):
        sys.exit(f"one of {processes} processes failed")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, nargs="+")
    parser.add_argument("--detector", default="tinydet_s")
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    SyntheticSource(train_images=12, val_images=1, side=160, seed=0).prepare()
    for processes in given.processes:
        fork(given, processes)


if __name__ == "__main__":
    main()
