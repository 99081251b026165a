"""One optimiser step, from uint8 images to new weights. Nothing in it waits for the device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.data.batch import Inputs, Targets
from harness.model.detector import Detector
from harness.stages.train.losses import GRAD_NORM

# How weights and images lie in memory. Tensor cores take nothing else without turning it first,
# and oneDNN's convolutions of small maps are faster so
# (`tests/benchmarks/test_training.py -k layout --benchmark-only`).
TRAIN_LAYOUT = torch.channels_last

Batch = tuple[Inputs, Targets]
Numbers = dict[str, Tensor]


@dataclass(frozen=True)
class Step:
    """Forward, losses, backward, clipping and the optimiser: what is compiled and captured.

    Attributes:
        detector: prepares the images.
        model: gives the losses; the detector as accelerate and compilers wrap it.
        optimizer: as accelerate wraps it; its learning rate is set beforehand.
        clip_norm: of the gradient, None for no limit.
    """

    detector: Detector
    model: nn.Module
    optimizer: Optimizer
    accelerator: Accelerator
    clip_norm: float | None
    settled: ClassVar[bool] = True  # as `StaticStep.settled`

    def __call__(self, micro: Sequence[Batch]) -> Numbers:
        """Named scalars of the step: losses, means over the micro-batches, and the norm.

        Args:
            micro: the batches whose gradients are added up, uint8.
        """
        sums: Numbers = {}
        norm: Numbers = {}
        for inputs, targets in micro:
            ready = self.detector.prepare(inputs)
            pixels = ready.pixels.contiguous(memory_format=TRAIN_LAYOUT)
            targets = targets.to(pixels.device, non_blocking=True)
            with self.accelerator.accumulate(self.model):
                losses: Numbers = self.model(replace(ready, pixels=pixels), targets)
                self.accelerator.backward(torch.stack(list(losses.values())).sum())
                norm = self.clip()
                self.optimizer.step()
                self.optimizer.zero_grad()
            for name, loss in losses.items():
                sums[name] = sums.get(name, torch.zeros_like(loss)) + loss.detach() / len(micro)
        return sums | norm

    def clip(self) -> Numbers:
        """Clip once all micro-batches are in; the gradient's norm before.

        Not reported under float16: a norm that overflows there is how the loss scale is found.
        """
        if self.clip_norm is None or not self.accelerator.sync_gradients:
            return {}
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        return {GRAD_NORM: norm} if self.accelerator.scaler is None else {}

    def abandon(self) -> None:
        """Forget a step of which only a part was taken: its gradients, and its micro-batches."""
        self.accelerator.step = 0
        self.model.zero_grad(set_to_none=True)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler._per_optimizer_states.clear()
            inner = getattr(self.optimizer, "optimizer", self.optimizer)
            for name in ("grad_scale", "found_inf"):  # of a step that broke within the optimiser
                vars(inner).pop(name, None)


def standard_layout(module: nn.Module) -> None:
    """Undo `TRAIN_LAYOUT`, strides of 1x1 kernels included.

    Kernels are chosen by strides, so that a detector just trained computes what one from its
    checkpoint does.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
