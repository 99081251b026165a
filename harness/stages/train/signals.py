"""SIGTERM and SIGINT as a wish to stop, granted between two steps."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

CAUGHT = (signal.SIGTERM, signal.SIGINT)
ECHO_SECONDS = 1.0


class StopRequest:
    """While entered, the first SIGTERM or SIGINT is only noted in `signum`.

    A later one goes to the handlers that stood before, so an impatient Ctrl-C still works;
    one within `ECHO_SECONDS` is the same request again, forwarded by torchrun or a shell.
    Outside the main thread Python allows no handlers, and none are set.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._noted_at = 0.0
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {s: signal.signal(s, self._note) for s in CAUGHT}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum, self._noted_at = signum, time.monotonic()
        elif time.monotonic() - self._noted_at > ECHO_SECONDS:
            self._restore()
            signal.raise_signal(signum)

    def _restore(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}


def name_of(signum: int) -> str:
    return signal.Signals(signum).name
