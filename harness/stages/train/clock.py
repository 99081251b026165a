"""Where the time of a training goes, added up over interruptions."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil
import torch


@dataclass
class Clock:
    """Seconds and images, of all sessions of this training together.

    The first steps of a session start the loader's workers, warm the kernels up, and compile or
    capture what is compiled or captured, so they count in `first_steps_seconds` and in no rate.

    Attributes:
        step_seconds: in steps, waiting included.
        wait_seconds: waiting for the loader within those steps.
        images: of all processes, in those steps.
        steps: how many those are.
        first_steps: that were left out, of each session.
        first_steps_seconds: in those.
        wall_seconds: everything, checkpoints included, but what is `apart`.
        sessions: how many processes have worked on this training, one after the other.
        peak_bytes: highest memory seen; see `note_memory`.
    """

    step_seconds: float = 0.0
    wait_seconds: float = 0.0
    images: int = 0
    steps: int = 0
    first_steps: int = 0
    first_steps_seconds: float = 0.0
    wall_seconds: float = 0.0
    sessions: int = 0
    peak_bytes: int = 0

    def __post_init__(self) -> None:
        self._tick = time.perf_counter()
        self._lap = (self.images, self.step_seconds, self.wait_seconds)

    @contextmanager
    def step(self, settled: bool) -> Iterator[None]:
        """Around one step; `settled`: it does nothing that is done only once per session."""
        before, started = (self.images, self.wait_seconds), time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        if settled:
            self.steps += 1
            self.step_seconds += seconds
        else:
            self.first_steps += 1
            self.first_steps_seconds += seconds
            self.images, self.wait_seconds = before

    @contextmanager
    def apart(self, device: torch.device) -> Iterator[None]:
        """Around what is not of the training: neither its time nor its memory counts."""
        self.note_memory(device)
        started = time.perf_counter()
        try:
            yield
        finally:
            self._tick += time.perf_counter() - started
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)

    def count(self, images: int) -> None:
        """Images of the step under way."""
        self.images += images

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around each wait for the loader inside a step."""
        started = time.perf_counter()
        yield
        self.wait_seconds += time.perf_counter() - started

    def lap(self) -> tuple[float, float]:
        """Images per second and share of waiting since the last lap."""
        now = (self.images, self.step_seconds, self.wait_seconds)
        images, seconds, waited = (a - b for a, b in zip(now, self._lap, strict=True))
        self._lap = now
        return ratio(images, seconds), ratio(waited, seconds)

    def note_memory(self, device: torch.device) -> None:
        """CUDA: the allocator's peak. CPU: what is resident now; workers are not counted."""
        if device.type == "cuda":
            seen = torch.cuda.max_memory_allocated(device)
        else:
            seen = psutil.Process().memory_info().rss
        self.peak_bytes = max(self.peak_bytes, seen)

    def state_dict(self) -> dict[str, float]:
        now = time.perf_counter()
        self.wall_seconds, self._tick = self.wall_seconds + now - self._tick, now
        return asdict(self)


def ratio(part: float, whole: float) -> float:
    """NaN where there is nothing to divide by."""
    return part / whole if whole else float("nan")


class CompileClock:
    """Seconds spent in compilers, forward and backward, while `running`.

    Attributes:
        on_start: called whenever a compiler begins.
    """

    def __init__(self) -> None:
        self.on_start: Callable[[], None] = lambda: None
        self.seconds = self._since = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        from torch._dynamo.callback import callback_handler  # takes seconds to import

        start = callback_handler.register_start_callback(lambda _: self._start())
        end = callback_handler.register_end_callback(lambda _: self._end())
        try:
            yield
        finally:
            callback_handler.remove_start_callback(start)
            callback_handler.remove_end_callback(end)

    def _start(self) -> None:
        self._since = time.perf_counter()
        self.on_start()

    def _end(self) -> None:
        self.seconds += time.perf_counter() - self._since
