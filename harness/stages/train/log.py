"""The training log: one JSON line every few steps, for curves."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from harness.errors import UserError
from harness.files import read_json_lines, write_atomic


class TrainLog:
    """Appends lines, flushing each; what is not known yet is null.

    A resumed run first drops the lines past its checkpoint.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: Path, *, keep_until: int) -> None:
        self.path = path
        kept = [line for line in read_json_lines(path) if line["step"] <= keep_until]
        write_atomic(path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        try:
            self._file: TextIO = path.open("a", encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot be written: {error.strerror}", where=path) from error

    def append(self, line: Mapping[str, float]) -> None:
        try:
            known = {k: v if math.isfinite(v) else None for k, v in line.items()}
            self._file.write(json.dumps(known) + "\n")
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot be written: {error.strerror}", where=self.path) from error

    def close(self) -> None:
        self._file.close()
