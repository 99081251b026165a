"""How weights and images lie in memory while a detector is trained."""

import torch
from torch import nn

# Tensor cores take nothing else without turning it first, and oneDNN's convolutions of small maps
# are faster so (`tests/benchmarks/test_training.py -k layout --benchmark-only`).
TRAIN_LAYOUT = torch.channels_last


def standard_layout(module: nn.Module) -> None:
    """Weights as they are made and loaded, strides of 1x1 kernels included.

    Kernels are chosen by strides, so that a detector just trained computes what one from its
    checkpoint does.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
