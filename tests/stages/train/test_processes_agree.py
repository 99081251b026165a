"""Several processes with a share of a batch each train as one does with all of it."""

import sys
from pathlib import Path

import pytest
import torch
import warm_processes
from test_real_processes import ENVIRONMENT

from harness.data.batch import Targets
from harness.files import read_json_lines

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("shared_batch.py")
NO_LOSSES = {"step", "epoch", "lr", "grad_norm", "images_per_second", "wait_share"}


@pytest.mark.parametrize(
    ("detector", "steps", "processes"),
    [("tinydet_s", 6, ["1", "4"]), ("ssdlite320", 3, ["1", "2"])],
)
def test_processes_agree(detector: str, steps: int, processes: list[str], tmp_path: Path) -> None:
    """Without randomness of the batch, and normalised by what all have sampled."""
    command = [sys.executable, PROGRAM, tmp_path, "--processes", *processes]
    words = [*command, "--detector", detector, "--steps", steps]
    done = warm_processes.run(words, env=ENVIRONMENT, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    alone, *together = (read_json_lines(tmp_path / n / "train_log.jsonl") for n in processes)
    assert len(alone) == steps
    names = set(alone[0]) - NO_LOSSES
    assert len(names) >= 2
    for found in together:
        for mine, theirs in zip(alone, found, strict=True):
            for name in names:
                assert theirs[name] == pytest.approx(mine[name], rel=1e-5), (mine["step"], name)


def draw(seeds: list[int], count: int) -> torch.Tensor:
    empty = torch.zeros(len(seeds), 1, 4), torch.zeros(len(seeds), 1, dtype=torch.int64)
    return Targets(*empty, torch.zeros(len(seeds)), torch.tensor(seeds)).draw(count)


def test_an_image_draws_the_same_in_any_batch() -> None:
    seeds = [2**61 + 5, 5, 6]
    whole = draw(seeds, 1000)
    assert torch.equal(whole, torch.cat([draw([seed], 1000) for seed in seeds]))
    assert torch.equal(whole[:, :10], draw(seeds, 10))


def test_draws_are_uniform_and_unrelated() -> None:
    """Of neighbouring seeds, of seeds that differ in their high half alone, and within each."""
    found = draw([0, 1, 2**40, 2**61], 100_000).double()
    assert found.min() >= 0
    assert found.max() < 1
    tenths = (found * 10).long()
    counts = torch.stack([(tenths == n).sum(1) for n in range(10)])
    chi_squared = ((counts - 10_000) ** 2 / 10_000).sum(0)
    assert chi_squared.max() < 27.9  # exceeded once in a thousand
    shifted = [found.roll(places, 1) for places in (1, 2, 7)]
    related = torch.corrcoef(torch.cat([found, *shifted]))
    assert (related - torch.eye(len(related))).abs().max() < 0.015


def test_without_seeds_torch_draws() -> None:
    empty = torch.zeros(2, 1, 4), torch.zeros(2, 1, dtype=torch.int64), torch.zeros(2)
    torch.manual_seed(0)
    first, second = (Targets(*empty).draw(100) for _ in range(2))
    torch.manual_seed(0)
    assert torch.equal(Targets(*empty).draw(100), first)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
