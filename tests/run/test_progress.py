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


def test_a_training_tells_its_speed_once_it_is_known() -> None:
    before = Progress(13, 200, 0, {"box": 2.0, "class": 0.18}, 0.1, math.nan, math.nan)
    assert describe_progress(before) == "loss 2.180"
    later = replace(before, images_per_second=12.3, wait_share=0.01)
    assert describe_progress(later) == "loss 2.180  12.3 images/s  waiting 1%"
