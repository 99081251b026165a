"""Candidates of a dense head in their order, and who of them stays."""

import math

import hypothesis.strategies as st
import torch
from hypothesis import given

from harness.model.candidates import Candidates, rank_candidates, suppress

LEAST = 0.25
# few distinct values, so that ties are common
score = st.sampled_from([0.0, 0.125, LEAST, 0.5, 0.75, math.nan, -math.inf])
images = st.integers(1, 3).flatmap(
    lambda count: st.lists(st.lists(score, min_size=7, max_size=7), min_size=count, max_size=count)
)


@given(images, st.sampled_from([None, 0, 1, 4, 7, 20]))
def test_ranking_equals_the_rule_image_by_image(rows: list[list[float]], limit: int | None):
    scores = torch.tensor(rows)
    places = torch.arange(7).expand_as(scores)
    boxes = places[..., None] + torch.tensor([0.0, 0.25, 10.0, 10.25])
    found = rank_candidates(boxes, scores, places % 3, LEAST, limit)
    for i, row in enumerate(rows):
        good = [n for n in range(7) if row[n] >= LEAST]
        wanted = sorted(good, key=lambda n: -row[n])[:limit]
        assert int(found.counts[i]) == len(wanted)
        assert found.scores[i, : len(wanted)].tolist() == [row[n] for n in wanted]
        assert found.labels[i, : len(wanted)].tolist() == [n % 3 for n in wanted]
        assert torch.equal(found.boxes[i, : len(wanted)], boxes[i, wanted])
    rest = 7 if limit is None else min(limit, 7)
    assert found.boxes.shape == (len(rows), rest, 4)


def test_suppression_is_within_a_class_and_keeps_the_best():
    box = torch.tensor([0.0, 0, 10, 10])
    boxes = torch.stack([box, box + 1, box + 1, box + 30, box])[None]
    scores, labels = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5]]), torch.tensor([[0, 0, 1, 0, 0]])
    found = suppress(Candidates(boxes, scores, labels, torch.tensor([4])), 0.5, 3)
    assert found.counts.tolist() == [3]
    assert found.scores[0].tolist() == scores[0, [0, 2, 3]].tolist()
    assert found.labels[0].tolist() == [0, 1, 0]
    assert torch.equal(found.boxes[0], boxes[0, [0, 2, 3]])
