"""When times are called stationary."""

import itertools
import random

import pytest

from harness.manifest.schema import Latency
from harness_plugins.meters import warm_up as warm_up_module
from harness_plugins.meters.warm_up import LONGEST, drift, warm_up


class Machine:
    """A clock that each repetition moves on by what `cost(number)` says."""

    def __init__(self, cost):
        self.cost, self.time, self.met = cost, 0.0, []

    def repeat(self, batch):
        self.time += self.cost(len(self.met))
        self.met.append(batch)

    def warm_up(self, batches=1, **settings):
        wanted = Latency(**{"warmup_runs": 3, "warmup_seconds": 0, **settings})
        return warm_up(self.repeat, batches, wanted, lambda: self.time)


def noisy(level, noise=0.03, seed=0):
    draw = random.Random(seed)
    return lambda number: level(number) * (1 + draw.gauss(0, noise))


def test_it_goes_by_count_and_by_time():
    assert Machine(noisy(lambda _: 1.0)).warm_up().runs == 12, "twelve at the least"
    assert Machine(noisy(lambda _: 1.0)).warm_up(warmup_runs=30).runs == 30
    assert Machine(lambda _: 0.25).warm_up(warmup_seconds=10).runs == 40


def test_images_that_take_longer_are_no_trend():
    machine = Machine(lambda number: 1.0 + number % 4)  # the image decides
    found = machine.warm_up(batches=4)
    assert found.stationary
    assert machine.met == [0, 1, 2, 3] * 3
    few = Machine(lambda _: 1.0)
    few.warm_up(batches=64)
    assert set(few.met) == set(range(6))


@pytest.mark.parametrize("seed", range(5))
def test_it_goes_on_until_a_slow_start_is_over(seed):
    """Twice as slow at first, as by clocks that rise; then level."""
    start = 25

    def level(number):
        return 1.0 + max(0.0, 1 - number / start)

    machine = Machine(noisy(level, 0.02, seed))
    found = machine.warm_up(warmup_runs=12)
    assert found.stationary
    assert found.runs > 0.8 * start
    assert found.warnings == ()
    assert found.conditions == {
        "warmup_runs": found.runs,
        "warmup_seconds": round(machine.time, 2),
        "warmup_stationary": True,
    }


def test_level_times_are_rarely_called_drifting():
    found = [Machine(noisy(lambda _: 1.0, 0.1, seed)).warm_up() for seed in range(100)]
    assert sum(each.runs > 12 for each in found) <= 12
    assert all(each.stationary for each in found)


def test_what_never_settles_ends_at_the_limit_and_is_a_doubt():
    machine = Machine(noisy(lambda number: 1.02**number, 0.001))
    found = machine.warm_up(warmup_runs=20)
    assert not found.stationary
    asked_first = sum(itertools.islice((1.02**n for n in itertools.count()), 20))
    assert LONGEST * asked_first <= found.seconds <= 1.6 * LONGEST * asked_first
    [warning] = found.warnings
    assert warning.code == "not_stationary"
    assert (warning.params["runs"], warning.params["way"]) == (found.runs, "slower")
    assert found.conditions["warmup_stationary"] is False


def test_an_outlier_is_no_drift():
    assert drift([1.0, 1.01, 0.99] * 10 + [30.0], 1) == 1.0


def test_a_trend_among_very_many_repetitions_is_found_from_few_moments(monkeypatch):
    """A network of 100 us is repeated 40,000 times, whose pairs would fill 6 GB."""
    pairs = []
    slopes = warm_up_module.stats.theilslopes
    monkeypatch.setattr(
        warm_up_module.stats, "theilslopes", lambda y: pairs.append(len(y) ** 2) or slopes(y)
    )
    rising = [(1 + i / 40_000) * (1 + 0.3 * (i % 3)) for i in range(40_000)]
    assert drift(rising, 3) == pytest.approx(1 + 0.5 / 1.75, abs=0.01)
    assert drift(list(map(noisy(lambda _: 1.0, 0.1), range(40_000))), 1) == 1.0
    assert max(pairs) <= 100_000
