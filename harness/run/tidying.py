"""Between two cells."""

import gc

import torch


def clear_away(device: torch.device) -> None:
    """Leave nothing of earlier cells: every cell begins in the same state, and has all memory.

    What is out of reach goes: the loaders, and with them their workers and threads; the frames of
    a failure with their tensors; on a GPU also the memory that torch keeps for later.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
