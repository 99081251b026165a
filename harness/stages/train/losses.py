"""Losses: kept on the device between two log lines, so that no step waits for them, and logged."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from harness.errors import UserError
from harness.files import read_json_lines, write_text

NEVER = float(2**53)
GRAD_NORM = "grad_norm"


@dataclass(frozen=True)
class BadValue:
    """A number that became NaN or infinite, and in which step."""

    name: str
    step: int
    value: float

    def __str__(self) -> str:
        kind = "NaN" if math.isnan(self.value) else "infinite"
        return f"{self.name} became {kind} at step {self.step}"


class LossWindow:
    """Means of named numbers since the last `reset`, and the first step that each went wrong.

    Attributes:
        names: what is watched, in order; known from the first `add` on.
        steps: how many steps the window holds.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.steps = 0

    def _begin(self, names: tuple[str, ...], device: torch.device) -> None:
        self.names = names
        self.sums = torch.zeros(len(names), dtype=torch.float64, device=device)
        self._bad_step = torch.full_like(self.sums, NEVER)
        self._bad_value = torch.zeros_like(self.sums)

    def add(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Scalars of one step; no host synchronisation."""
        stacked = torch.stack([v.detach().double().reshape(()) for v in values.values()])
        if not self.names:
            self._begin(tuple(values), stacked.device)
        self.sums += stacked
        self.steps += 1
        newly = ~stacked.isfinite() & (self._bad_step == NEVER)
        self._bad_step = torch.where(newly, float(step), self._bad_step)
        self._bad_value = torch.where(newly, stacked, self._bad_value)

    def reset(self) -> None:
        if self.names:
            self.sums.zero_()
        self.steps = 0

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """Over the window and all processes; waits for the device."""
        if not self.steps:
            return {}
        sums = accelerator.reduce(self.sums.clone(), reduction="mean")
        return dict(zip(self.names, (sums / self.steps).tolist(), strict=True))

    def first_bad(self, accelerator: Accelerator) -> BadValue | None:
        """What went wrong first in any process; waits for the device."""
        if not self.names:
            return None
        found = accelerator.gather(torch.stack((self._bad_step, self._bad_value))[None])
        steps, values = found[:, 0].flatten(), found[:, 1].flatten()
        at = int(steps.argmin())
        if steps[at] == NEVER:
            return None
        return BadValue(self.names[at % len(self.names)], int(steps[at]), float(values[at]))

    def state_dict(self) -> dict[str, Any]:
        sums = self.sums.tolist() if self.names else []
        return {"names": list(self.names), "sums": sums, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        if state["names"]:
            self._begin(tuple(state["names"]), device)
            self.sums += torch.tensor(state["sums"], dtype=self.sums.dtype, device=device)
        self.steps = state["steps"]


class TrainLog:
    """A JSON line every few steps, for curves, flushed at once; what is not known yet is null.

    Lines of an evaluation have `validation` (metric -> value) in place of losses and rates.

    A resumed run first drops the lines past its checkpoint.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: Path, *, keep_until: int) -> None:
        self.path = path
        kept = [line for line in read_json_lines(path) if line["step"] <= keep_until]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def append(self, line: Mapping[str, float]) -> None:
        self._write(_known(line))

    def append_validation(
        self, place: Mapping[str, float], values: Mapping[str, float], failed: str = ""
    ) -> None:
        """Args: place: step and epoch; failed: why there are no values."""
        self._write(
            {**place, "validation": _known(values), **({"failed": failed} if failed else {})}
        )

    def _write(self, known: Mapping[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known) + "\n")
        except OSError as error:
            raise UserError(f"cannot be written: {error.strerror}", where=self.path) from error


def _known(line: Mapping[str, float]) -> dict[str, float | None]:
    return {k: v if math.isfinite(v) else None for k, v in line.items()}
