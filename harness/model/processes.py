"""What the processes of a distributed training tell one another within a step."""

import torch.distributed as dist
from torch import Tensor


def mean_over_processes(value: Tensor) -> Tensor:
    """A number's mean over the processes of a training, as float32 and without gradient.

    What a loss that is summed over a batch is divided by goes through this: gradients are
    averaged over the processes, so that several with a share of the batch each then do what one
    does with all of it. All processes must call it equally often.
    """
    value = value.detach().float()
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        value = value.clone()
        dist.all_reduce(value)
        value /= dist.get_world_size()
    return value
