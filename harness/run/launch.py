"""Which process this is, on which device, what all processes agree on, and how a signal ends it."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pynvml
import torch

from harness.errors import CellError, Interrupted, UserError
from harness.run.device_errors import check_cuda

PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True)
class Launch:
    """One process of a run; `world` is 1 unless torchrun started several.

    Attributes:
        note: why a GPU that is there is not used, though any device would do; "" otherwise.
    """

    device: torch.device
    rank: int
    world: int
    note: str = ""

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def agree(self, value: str) -> str:
        """The first process's value, in every process."""
        if self.world == 1:
            return value
        from accelerate import PartialState
        from accelerate.utils import broadcast_object_list

        PartialState(cpu=self.device.type == "cpu")
        return str(broadcast_object_list([value])[0])


def find_launch(device: str) -> Launch:
    """Resolve `auto`, `cpu`, `cuda` or `cuda:N`; under torchrun each process takes its own GPU.

    A CUDA device has computed something when this returns.

    Raises:
        UserError: no such device, or torch cannot use it.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    note = ""
    if device == "auto":
        note = unused_gpu()
        device = "cpu" if note or not torch.cuda.is_available() else "cuda"
    hint = "auto, cpu, cuda, cuda:N"
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"'{device}' is not a device", where="--device", hint=hint) from error
    if found.type not in ("cpu", "cuda"):
        raise UserError(f"'{device}' is not supported", where="--device", hint=hint)
    if found.type == "cuda":
        index = int(os.environ.get("LOCAL_RANK", "0")) if found.index is None else found.index
        found = torch.device("cuda", index)
        check_cuda(found)
        torch.cuda.set_device(found)  # streams and captures are of the current device
    return Launch(found, rank, world, note)


def unused_gpu() -> str:
    """Why torch cannot use the GPU that NVML sees on this machine; "" if it can, or there is none.

    A machine with a GPU on which everything silently ran on the CPU would be a surprise.
    """
    if _gpus_by_nvml() == 0 or torch.cuda.is_available():
        return ""
    try:
        check_cuda(torch.device("cuda", 0))
    except UserError as error:
        return f"the CPU is used: {error.found}"
    return ""


def _gpus_by_nvml() -> int:
    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return 0


def tell_torchrun(line: str) -> None:
    """Why this process fails, which is one of several."""
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    get_error_handler().record_exception(CellError(line))


def end_with_parent(signum: int) -> None:
    """Have the system send a signal when the process that has started this one is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Outside training, which has its own way, SIGTERM stops a run as Ctrl-C does."""

    def interrupt(signum: int, frame: object) -> None:
        raise Interrupted(signum, "terminated")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
