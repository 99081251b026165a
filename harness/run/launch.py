"""Which process this is, on which device, and what all processes must agree on."""

import os
from dataclasses import dataclass

import torch

from harness.errors import UserError


@dataclass(frozen=True)
class Launch:
    """One process of a run; `world` is 1 unless torchrun started several."""

    device: torch.device
    rank: int
    world: int

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

    Raises:
        UserError: no such device.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UserError(
            f"'{device}' is not a device", where="--device", mend="auto, cpu, cuda, cuda:N"
        ) from error
    if found.type not in ("cpu", "cuda"):
        raise UserError(
            f"'{device}' is not supported", where="--device", mend="auto, cpu, cuda, cuda:N"
        )
    if found.type == "cuda":
        count = torch.cuda.device_count()
        index = int(os.environ.get("LOCAL_RANK", "0")) if found.index is None else found.index
        if index >= count:
            raise UserError(
                f"'{device}': this machine has {count} CUDA devices", where="--device", mend="cpu"
            )
        found = torch.device("cuda", index)
    return Launch(found, rank, world)
