"""How weights and images lie in memory while a detector is trained."""

import torch
from torch import nn


def train_layout(device: torch.device) -> torch.memory_format:
    """Channels last on a GPU, whose tensor cores take nothing else without turning it first.

    On a CPU weights stay as they are; a backbone that gains from channels last asks for it.
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def standard_layout(module: nn.Module) -> None:
    """Weights as they are made and loaded, strides of 1x1 kernels included.

    Kernels are chosen by strides, so that a detector just trained computes what one from its
    checkpoint does.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
