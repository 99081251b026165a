"""The memory of this process: what is freed is kept, and nothing of a cell lives on."""

import ctypes
import gc
import platform

import torch

# mallopt(3) of glibc: from what size on a block is a mapping of its own, and how much free memory
# at the end of the heap is returned to the system
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
MOST = 2**30, 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process and those that it starts keep freed memory for the next tensor.

    glibc maps a new block for each large tensor, and the system then clears it page by page:
    about a quarter of a training step of TinyDet-M on a CPU. Peak memory stays the same, but is
    held until the process ends. Other C libraries are left as they are.

    Returns:
        whether the library took the settings.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    taken = [library.mallopt(M_MMAP_THRESHOLD, MOST[0]), library.mallopt(M_TRIM_THRESHOLD, MOST[1])]
    return all(taken)


def clear_away(device: torch.device) -> None:
    """Leave nothing of earlier cells: every cell begins in the same state, and has all memory.

    What is unreachable goes: the loaders, and with them their workers and threads; the frames of
    a failure with their tensors; on a GPU also the memory that torch keeps for later.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
