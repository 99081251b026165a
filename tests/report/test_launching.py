"""The sentence on latencies that measure launching: there when the records say so."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from page_text import text_of
from quick_page import quick_page

from harness.records.record import Record
from harness.results.run import Run

IDLE = "the GPU was idle"


def with_idle_shares(run: Run, shares: Mapping[str, float], later: float = 0.0) -> Run:
    """The run as a GPU's, whose detectors left it idle for these shares of the time.

    `later` comes on top with every further seed.
    """

    def change(record: Record) -> Record:
        if record.stage != "latency" or record.detector not in shares:
            return record
        share = shares[record.detector] + later * record.seed
        told = {"kernels_per_image": 700.0, "kernels_per_second": 46667, "device_idle_share": share}
        return replace(record, conditions={**record.conditions, **told})

    records = tuple(map(change, run.records))
    return replace(run, records=records)


def test_a_cpu_is_not_spoken_of(made: Run) -> None:
    assert IDLE not in text_of(quick_page(made))


def test_a_busy_gpu_is_not_either(made: Run) -> None:
    busy = with_idle_shares(made, {"tinydet_s": 0.5, "tinydet_l": 0.1})
    assert IDLE not in text_of(quick_page(busy))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ({"tinydet_s": 0.91, "tinydet_l": 0.3}, "With tinydet_s the GPU was idle 91 % of the time"),
        (
            {"tinydet_s": 0.91, "tinydet_l": 0.82},
            "With tinydet_s and tinydet_l the GPU was idle 82 % or more of the time",
        ),
    ],
)
def test_an_idle_gpu_is_explained_once(made: Run, shares: dict[str, float], words: str) -> None:
    text = text_of(quick_page(with_idle_shares(made, shares)))
    assert text.count(IDLE) == 1
    assert f"{words}: such a latency is the time it takes to launch the kernels" in text


@pytest.mark.slow
def test_of_several_seeds_the_busiest_counts(made: Run) -> None:
    """It says no more than is true of all of them."""
    text = text_of(quick_page(with_idle_shares(made, {"tinydet_s": 0.6}, later=0.2)))
    assert "the GPU was idle 60 % of the time" in text
    assert IDLE not in text_of(quick_page(with_idle_shares(made, {"tinydet_s": 0.4}, later=0.2)))
