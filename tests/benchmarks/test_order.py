"""The order in which detectors are timed does not decide which is faster.

Each order in a fresh process; `python tests/benchmarks/test_order.py A B` is one of them.
"""

import json
import os
import subprocess
import sys
from statistics import median
from typing import Any

import pytest
import torch
from subjects import build, draw_photos

from harness.manifest.schema import Latency
from harness.run.memory import keep_freed_memory
from harness.stages.latency import measure_latency
from harness_plugins.meters.latency import LatencyMeter

PAIR = ("tinydet_s", "tinydet_l")
AGREE = 0.10
ROUNDS = 3
SETTINGS = Latency(images=4, runs=int(os.environ.get("HARNESS_ORDER_RUNS", "12")), threads=1)
WHOLE = "latency_end_to_end_p50"


def time_in_order(names: list[str], device: str) -> dict[str, Any]:
    """Name -> median in ms end to end, and how it was warmed up."""
    keep_freed_memory()  # as `harness run` does
    photos = draw_photos(SETTINGS.images)
    found: dict[str, Any] = {}
    for name in names:
        detector = build(name).to(device)
        measured = measure_latency(detector, [LatencyMeter()], photos, SETTINGS)
        whole = next(m for m in measured if m.metric == WHOLE)
        keys = ("warmup_runs", "warmup_seconds", "warmup_stationary", "other_cores")
        found[name] = {"ms": whole.value, **{key: whole.conditions[key] for key in keys}}
    return found


def in_fresh_process(names: tuple[str, ...], device: str) -> dict[str, Any]:
    command = [sys.executable, __file__, device, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.cuda,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
            ],
        ),
    ],
)
def test_both_orders_give_the_same_ratio(benchmark: Any, capsys: Any, device: str) -> None:
    """In turn, and of each order the median: a shared machine's speed drifts within minutes."""
    orders = (PAIR, PAIR[::-1])
    found = benchmark.pedantic(
        lambda: [[in_fresh_process(order, device) for order in orders] for _ in range(ROUNDS)],
        rounds=1,
    )
    small, large = PAIR
    ratios: list[float] = []
    for order, each in zip(orders, zip(*found, strict=True), strict=True):
        all_ratios = [one[large]["ms"] / one[small]["ms"] for one in each]
        ratios.append(median(all_ratios))
        with capsys.disabled():
            shown = ", ".join(f"{ratio:.2f}" for ratio in all_ratios)
            print(f"\n{device}, {order[0]} first: L/S {ratios[-1]:.3f} ({shown})")
            for one in each:
                print(f"  {json.dumps(one)}")
    assert max(ratios) <= (1 + AGREE) * min(ratios)


if __name__ == "__main__":
    print(json.dumps(time_in_order(sys.argv[2:], sys.argv[1])))
