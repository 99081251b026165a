"""Matching and sampling against the rule written out image by image."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from harness.data.batch import Targets
from harness.model.box_losses import (
    IGNORED,
    NEGATIVE,
    match_boxes,
    select_samples,
    smooth_l1_sum,
)


def match_one(ious: Tensor, high: float, low: float, claim: float, keep: bool) -> list[int]:
    """(G, N) of one image, in plain Python."""
    matched = [IGNORED] * ious.shape[1]
    for n, column in enumerate(ious.T.tolist()):
        best = max(column, default=-1.0)
        if best < low:
            matched[n] = NEGATIVE
        if best >= high:
            matched[n] = column.index(best)
    for g, row in enumerate(ious.tolist()):
        if row and max(row) >= claim:
            for n, value in enumerate(row):
                if value == max(row):
                    column = ious[:, n].tolist()
                    matched[n] = column.index(max(column)) if keep else g
    return matched


# few distinct values, so that ties are common; eighths are exact in every type
grid = st.integers(0, 8).map(lambda n: n / 8)


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    batch, truths, boxes = (draw(st.integers(1, n)) for n in (3, 4, 9))
    size = batch * truths * boxes
    ious = torch.tensor(draw(st.lists(grid, min_size=size, max_size=size)))
    counts = draw(st.lists(st.integers(0, truths), min_size=batch, max_size=batch))
    eligible = draw(st.lists(st.booleans(), min_size=boxes, max_size=boxes))
    return ious.view(batch, truths, boxes), torch.tensor(counts), torch.tensor(eligible)


@given(
    batches(),
    st.sampled_from([(0.5, 0.25, 0.25), (0.5, 0.5, 0.5), (0.75, 0.25, 0.0)]),
    st.booleans(),
)
def test_matching_equals_the_rule_image_by_image(
    batch: tuple[Tensor, Tensor, Tensor], rule: tuple[float, float, float], keep: bool
) -> None:
    ious, counts, eligible = batch
    valid = torch.arange(ious.shape[1]) < counts[:, None]
    found = match_boxes(
        ious.clone(),
        valid,
        eligible[None],
        positive_iou=rule[0],
        negative_iou=rule[1],
        min_positive_iou=rule[2],
        keep_nearest=keep,
    )
    for image, count, matched in zip(ious, counts, found, strict=True):
        assert (matched[~eligible] == IGNORED).all()
        assert matched[eligible].tolist() == match_one(image[:count][:, eligible], *rule, keep)


@given(
    st.lists(
        st.lists(st.sampled_from([0, 1, 2]), min_size=12, max_size=12), min_size=1, max_size=3
    ),
    st.sampled_from([None, 1, 4, 8, 12, 40]),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.integers(0, 1000),
)
def test_sampling_takes_the_greatest_of_each_kind(
    kinds: list[list[int]], limit: int | None, fraction: float, seed: int
) -> None:
    kind = torch.tensor(kinds)
    keys = torch.rand(kind.shape, generator=torch.Generator().manual_seed(seed))
    found = select_samples(kind == 2, kind == 1, keys, limit, fraction)
    total = 12 if limit is None else limit
    for image in range(len(kinds)):
        by_key = keys[image].argsort(descending=True).tolist()
        positives = [i for i in by_key if kind[image, i] == 2][: int(total * fraction)]
        negatives = [i for i in by_key if kind[image, i] == 1][: total - len(positives)]
        indices = found.indices[image]
        assert sorted(indices[found.positive[image]].tolist()) == sorted(positives)
        assert sorted(indices[found.negative[image]].tolist()) == sorted(negatives)
    assert not (found.positive & found.negative).any()


def test_random_keys_reach_every_box() -> None:
    torch.manual_seed(0)
    everyone = torch.ones(64, 10, dtype=torch.bool)
    found = select_samples(~everyone, everyone, torch.rand(64, 10), 3, 0.5)
    assert set(found.indices.flatten().tolist()) == set(range(10))


def test_a_batch_without_ground_truth_gets_a_row_of_padding() -> None:
    empty = Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2))
    padded = empty.at_least_one()
    assert padded.boxes.shape == (2, 1, 4)
    assert not padded.valid.any()
    assert padded.at_least_one() is padded


def test_padding_with_infinite_targets_has_no_gradient() -> None:
    deltas = torch.zeros(2, 4, requires_grad=True)
    wanted = torch.tensor([[0.5, 0, 0, 0], [0, 0, -torch.inf, torch.nan]])
    loss = smooth_l1_sum(deltas, wanted, torch.tensor([True, False]), beta=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.125)
    assert deltas.grad.tolist() == [[-0.5, 0, 0, 0], [0, 0, 0, 0]]
