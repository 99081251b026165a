"""What objects are to a detector: counts and shares known on paper."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from harness.data.annotations import Annotations, read_annotations
from harness.results.anchors import AnchorGrid
from harness.results.objects import (
    count_data,
    measure_prospects,
    original_sizes,
    share_sizes,
    tabulate,
)

# to half of both sides
HALF = {"kind": "squash", "height": 32, "width": 32}


@pytest.fixture
def annotations(tmp_path: Path) -> Annotations:
    """Two images of 64 x 64: a box of 16, one of 32, a crowd; an empty one."""
    rows = [(1, [0, 0, 16, 16], 0), (2, [16, 16, 32, 32], 0), (1, [0, 0, 60, 60], 1)]
    document = {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 64} for n in (1, 2)
        ],
        "categories": [{"id": n, "name": f"c{n}"} for n in (1, 2, 3)],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": c, "bbox": box, "iscrowd": crowd}
            for n, (c, box, crowd) in enumerate(rows)
        ],
    }  # fmt: skip
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    return read_annotations(path)


def lay(size: tuple[int, int]) -> list[AnchorGrid]:
    """One anchor of 8 in the corner at stride 8; one of 16, 8 further, at stride 16."""
    assert size == (32, 32)
    return [
        AnchorGrid(8, np.array([[0.0, 0, 8, 8]])),
        AnchorGrid(16, np.array([[8.0, 8, 24, 32]])),
    ]


def test_a_split_as_a_whole(annotations: Annotations):
    counts = count_data(annotations)
    assert (counts.images, counts.empty_images) == (2, 1)
    assert (counts.boxes, counts.crowds) == (2, 1)
    assert (counts.classes, counts.empty_classes) == (3, 1)
    assert counts.boxes_per_image == (1.0, 1.0, 2)


def test_sizes_shrink_with_the_image(annotations: Annotations):
    assert original_sizes(annotations).tolist() == [16, 32]
    prospects = measure_prospects(annotations, HALF, lay)
    assert prospects.sizes.tolist() == [8, 16]
    # 32x32 is medium in the original and small at the input
    assert share_sizes(original_sizes(annotations)) == [0.5, 0.5, 0.0]
    assert share_sizes(prospects.sizes) == [1.0, 0.0, 0.0]


def test_coverage_and_cells_by_size(annotations: Annotations):
    prospects = measure_prospects(annotations, HALF, lay, positive_iou=0.7)
    # the second anchor is 16 x 24 on an object of 16 x 16: 2/3
    assert prospects.best_iou.tolist() == [1.0, pytest.approx(2 / 3)]
    assert prospects.best_stride.tolist() == [8, 16]
    empty, small, large, beyond, whole = tabulate(prospects, (0, 8, 16, 64))
    assert (empty.count, beyond.count, whole.count) == (0, 0, 2)
    assert (small.low, small.high, small.count, small.share) == (8, 16, 1, 0.5)
    assert (small.covered, small.positive, small.best_iou) == (1.0, 1.0, 1.0)
    assert (small.cells_finest, small.cells_best) == (1.0, 1.0)
    assert (large.covered, large.positive) == (1.0, 0.0)
    # 16 x 16 pixels: 4 cells of 8, one of 16
    assert (large.cells_finest, large.cells_best) == (4.0, 1.0)
    assert whole.positive == 0.5
    assert empty.share == 0.0
    assert all(math.isnan(v) for v in (empty.covered, empty.best_iou, empty.cells_best))


def test_without_anchors_sizes_are_known_and_nothing_else(annotations: Annotations):
    row = tabulate(measure_prospects(annotations, HALF, lambda size: ()), (0, 64))[-1]
    assert row.count == 2
    assert all(
        math.isnan(v)
        for v in (row.covered, row.positive, row.best_iou, row.cells_finest, row.cells_best)
    )


def test_anchors_are_laid_for_the_padded_input(annotations: Annotations):
    asked = []

    def ask(size: tuple[int, int]) -> list[AnchorGrid]:
        asked.append(size)
        return [AnchorGrid(8, np.array([[0.0, 0, 8, 8]]))]

    measure_prospects(annotations, {"kind": "shortest_side", "side": 40, "longest": 80}, ask)
    assert asked == [(64, 64)]


@pytest.mark.shared
def test_counts_of_a_real_set(shared_data: Path):
    found = read_annotations(shared_data / "coco80" / "annotations" / "instances_train.json")
    counts = count_data(found)
    assert (counts.images, counts.boxes, counts.crowds, counts.classes) == (2312, 21435, 260, 80)
    rows = tabulate(measure_prospects(found, HALF, lambda size: ()), (0, 8, 16, 32))
    assert sum(row.count for row in rows[:-1]) == rows[-1].count == counts.boxes
