"""What goes on before the first step of a cell is told at once, on a terminal and in a log."""

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from harness.run.progress import Bars, Lines
from harness.run.stages import describe_progress
from harness.stages.train.result import Progress


@pytest.mark.parametrize("kind", [Bars, Lines])
def test_a_phase_without_steps_is_told_at_once(kind: type[Bars] | type[Lines]) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=kind is Bars, width=160)
    shown = kind(console, 2)
    live = shown.progress if isinstance(shown, Bars) else None
    if live is not None:
        live.start()
    shown.start("s seed 0 latency compiled")
    for phase in ("compiling", "warming up"):
        shown.advance(0, 0, phase)
        assert phase in out.getvalue()
    shown.advance(1, 5, "runs")
    if isinstance(shown, Bars):
        [task] = shown.cells.values()
        assert shown.progress.tasks[task].total == 5
    if live is not None:
        live.stop()


def test_a_line_says_about_how_long_the_rest_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the steps since this process began, of which a resumed one had some behind it."""
    out, now = io.StringIO(), [100.0]
    monkeypatch.setattr("harness.run.progress.time.monotonic", lambda: now[0])
    shown = Lines(Console(file=out, width=160), 4)
    shown.start("s seed 0 train")
    shown.advance(0, 0, "reading images")  # takes a minute that no step will take again
    for step in range(60, 101):
        now[0] = 160.0 + 2 * (step - 60)
        shown.advance(step, 100, "loss 2.1")
    shown.finish("s seed 0 train", "ok")
    shown.start("s seed 0 evaluate")
    now[0] += 20
    shown.advance(8, 16, "images")
    lines = out.getvalue().splitlines()
    assert lines[1:4] == [
        "[1/4] s seed 0 train: reading images",
        "[1/4] s seed 0 train: 60/100 loss 2.1",
        "[1/4] s seed 0 train: 68/100 loss 2.1, about 1 min 04 s left",
    ]
    assert lines[4] == "[1/4] s seed 0 train: 76/100 loss 2.1, about 48 s left"
    assert lines[-1] == "[2/4] s seed 0 evaluate: 8/16 images"


def test_the_steps_of_another_phase_are_timed_from_their_own_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And so are those of a cell that begins again; the last step has nothing left."""
    out, now = io.StringIO(), [100.0]
    monkeypatch.setattr("harness.run.progress.time.monotonic", lambda: now[0])
    shown = Lines(Console(file=out, width=160), 4)

    def advance(after: float, done: int, total: int, note: str) -> None:
        now[0] += after
        shown.advance(done, total, note)

    for _ in range(2):
        shown.start("s seed 0 train")
        advance(0, 0, 100, "loss")
        advance(20, 50, 100, "loss")
        advance(0, 0, 0, "reading images")
        advance(1000, 0, 100, "images")
        advance(20, 20, 100, "images")
        advance(80, 100, 100, "images")
        shown.finish("s seed 0 train", "failed")
        now[0] += 1000
    lines = [line.partition(" train")[2] for line in out.getvalue().splitlines()]
    assert [line.removeprefix(": ") for line in lines] == 2 * [
        "",
        "50/100 loss, about 20 s left",
        "reading images",
        "0/100 images",
        "20/100 images, about 1 min 20 s left",
        "100/100 images",
        "failed",
    ]


def test_a_training_tells_its_speed_once_it_is_known() -> None:
    before = Progress(13, 200, 0, {"box": 2.0, "class": 0.18}, 0.1, math.nan, math.nan)
    assert describe_progress(before) == "loss 2.180"
    later = replace(before, images_per_second=12.3, wait_share=0.01)
    assert describe_progress(later) == "loss 2.180  12.3 images/s  waiting 1%"
