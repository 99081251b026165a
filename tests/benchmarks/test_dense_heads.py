"""Time of assignment and postprocessing of dense heads, on two threads.

The limits are the project's goals: SimOTA for 8 images of 20 boxes in 15 ms, postprocessing of
3,598 candidates in 1 ms.
"""

import pytest
import torch

from harness.data.batch import Targets
from harness.model.candidates import rank_candidates, suppress
from harness.model.features import FeatureSpec
from harness_plugins.yolox.head import join_levels, yolox_head

MAPS = tuple(FeatureSpec(f"p{i}", 64, 2**i) for i in (3, 4, 5))
SIMOTA_MS, POST_MS = 15.0, 1.0
POINTS = 3598


pytestmark = pytest.mark.usefixtures("two_threads")


@torch.no_grad()
def test_simota_of_eight_images(benchmark):
    generator = torch.Generator().manual_seed(0)
    head = yolox_head(MAPS, num_classes=80, image_size=(416, 416))
    raw = head(
        [torch.randn(8, 64, 416 // f.stride, 416 // f.stride, generator=generator) for f in MAPS]
    )
    centers = 18 + 380 * torch.rand(8, 20, 2, generator=generator)
    halves = 4 + 40 * torch.rand(8, 20, 2, generator=generator)
    labels = torch.randint(80, (8, 20), generator=generator)
    boxes = torch.cat([centers - halves, centers + halves], -1)
    truths = head.read_truths(Targets(boxes, labels, torch.full((8,), 20)))
    given = join_levels(raw.boxes), join_levels(raw.objectness)[..., 0], join_levels(raw.classes)
    found = benchmark(head.assign, *given, truths)
    assert found.positive.any(1).all()
    assert benchmark.stats["median"] * 1e3 <= SIMOTA_MS


@torch.no_grad()
@pytest.mark.parametrize("above", [100, 500])
def test_postprocessing(benchmark, above: int):
    """Points of which so many reach the threshold, as a trained detector has them at 0.01."""
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(1, POINTS, 2, generator=generator) * 380
    boxes = torch.cat([low, low + 8 + torch.rand(1, POINTS, 2, generator=generator) * 80], -1)
    labels = torch.randint(80, (1, POINTS), generator=generator)
    order = torch.randperm(POINTS, generator=generator)[None]
    scores = torch.where(order < above, 0.01 + torch.rand(1, POINTS, generator=generator), 0.0)

    def find():
        return suppress(rank_candidates(boxes, scores, labels, 0.01), 0.65, 100)

    found = benchmark(find)
    assert int(found.counts) == 100 or above < 200
    assert benchmark.stats["median"] * 1e3 <= POST_MS
