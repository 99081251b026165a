"""A plugin for the tests of several processes: a detector that one of them cannot train."""

import os
import signal
from pathlib import Path
from typing import Any, Literal

from tiny_detectors import TinyDetector
from torch import Tensor

from harness.data.batch import Inputs, Targets
from harness.errors import CellError
from harness.plugin.declarations import Params, WholeDetector
from harness.plugin.hookspecs import hookimpl


class RankParams(Params):
    """What happens to which rank at its third step; where `once` names a file, as long as it is
    not there."""

    rank: int = 1
    what: Literal["cell", "kill"] = "cell"
    once: str = ""


class Troubled(TinyDetector):
    def __init__(self, num_classes: int, rank: int, what: str, once: str) -> None:
        super().__init__(num_classes, "", "", 8)
        self.rank, self.kind, self.once, self.calls = rank, what, once, 0

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        self.calls += 1
        if self.calls == 3 and os.environ.get("RANK") == str(self.rank) and self._is_due():
            if self.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise CellError("has had enough")
        return super().losses(inputs, targets)

    def _is_due(self) -> bool:
        if not self.once:
            return True
        try:
            Path(self.once).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def build_troubled(num_classes: int, **params: Any) -> Troubled:
    return Troubled(num_classes, **params)


@hookimpl
def harness_detectors() -> list[WholeDetector]:
    return [WholeDetector("troubled", "troubled_ranks:build_troubled", RankParams, "in trouble")]
