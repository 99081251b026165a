"""AP under many weightings: the kernel, its reference, and what both refuse."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from op_cases import SEEDS, assert_equal, resampling_case, with_threads
from torch import Tensor

from harness.ops import pack_weights, resampled_ap
from harness.ops.resampled_ap import resampled_ap_reference


@given(
    seed=SEEDS,
    images=st.integers(1, 12),
    detections=st.integers(0, 60),
    resamples=st.integers(1, 40),
)
def test_kernel_and_reference_agree(seed: int, **sizes: int) -> None:
    arguments = resampling_case(seed, **sizes)
    found, wanted = resampled_ap(*arguments), resampled_ap_reference(*arguments)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_the_same_on_any_number_of_threads() -> None:
    arguments = resampling_case(0, images=30, resamples=200)
    one, *others = with_threads(lambda: [resampled_ap(*arguments)])
    for other in others:
        assert_equal(one, other)


def packed(*rows: list[int]) -> Tensor:
    return pack_weights(torch.tensor(rows, dtype=torch.int32))


def test_on_paper() -> None:
    """Images 0 and 1 with an object each: a hit in 0, a false alarm in 1, then the hit in 1."""
    weights = packed([1, 1], [1, 0], [2, 1], [0, 1])
    assert weights.shape == (1, 2, 16)
    # 0, 1, 2, 3 true positives of 1, 2 and 3 objects
    points = [[1, 101, 101, 101], [1, 51, 101, 101], [1, 34, 67, 101]]
    row = torch.zeros(16, dtype=torch.int64)
    row[:4] = torch.tensor([4, 0, 8, 0])
    found = resampled_ap(
        weights,
        torch.tensor(points, dtype=torch.int8).flatten(),
        row,
        torch.tensor([0, 1, 1]),
        torch.tensor([0, 1]),
        torch.tensor([1, 3]),
        torch.ones(1, 2, dtype=torch.bool),
        torch.zeros(1, 2, dtype=torch.int8),
    )
    wanted = [51 + 50 * 2 / 3, 101, 67 + 34 * 3 / 4, 101 / 2]
    torch.testing.assert_close(found[0, :4], torch.tensor(wanted, dtype=torch.float64) / 101)
    assert not found[0, 4:].any()


@pytest.mark.parametrize("place", [2, 3, 4, 5])
@pytest.mark.parametrize("wrong", [-1, 10**6])
def test_places_outside_of_what_they_point_into_are_refused(place: int, wrong: int) -> None:
    arguments = list(resampling_case(0))
    arguments[place] = arguments[place].clone()
    arguments[place][-1] = wrong
    with pytest.raises(RuntimeError, match="out of range"):
        resampled_ap(*arguments)


@pytest.mark.parametrize("place", range(8))
def test_other_types_and_sizes_are_refused(place: int) -> None:
    arguments = list(resampling_case(0))
    own = arguments[place]
    for wrong in (own.double(), own[None], own.flip(-1)[..., 1:]):
        if place in (1, 3) and wrong.dtype == own.dtype and wrong.ndim == 1:
            continue  # of any length
        with pytest.raises(RuntimeError, match="resampled_ap"):
            resampled_ap(*arguments[:place], wrong, *arguments[place + 1 :])
