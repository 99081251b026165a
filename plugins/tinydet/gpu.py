"""Where training on a GPU takes other kernels than training on a CPU and inference do."""

import torch
from torch import Tensor


def trains_on_gpu(x: Tensor) -> bool:
    """Whether what is computed of `x` gets a gradient on a GPU."""
    return x.is_cuda and torch.is_grad_enabled()
