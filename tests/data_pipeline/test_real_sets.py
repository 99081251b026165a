"""The real data sets: read without error, counted as their READMEs say."""

import pytest
from photo_sets import real_set

from harness.data.annotations import read_annotations
from harness.data.folder import check_split
from harness.data.loader import eval_loader, train_loader
from harness.data.resize import SquashResize
from harness.manifest.schema import Evaluate, Train

pytestmark = [pytest.mark.slow, pytest.mark.shared]

COUNTS = [  # images, boxes, of them crowd, empty images, classes
    ("bccd", "train", 205, 2804, 0, 0, 3),
    ("bccd", "val", 159, 2082, 0, 0, 3),
    ("coco80", "train", 2312, 21695, 260, 3, 80),
    ("coco80", "val", 905, 8164, 95, 2, 80),
    ("coco_official", "val", 206, 1786, 21, 2, 80),
]


@pytest.mark.parametrize(("name", "split", "images", "boxes", "crowd", "empty", "classes"), COUNTS)
def test_counts(
    name: str, split: str, images: int, boxes: int, crowd: int, empty: int, classes: int
) -> None:
    folder = real_set(name)
    assert check_split(folder.split(split)) == ()  # type: ignore[arg-type]
    annotations = read_annotations(folder.split(split).annotations)  # type: ignore[arg-type]
    found = [len(annotations.of_image(i)) for i in range(len(annotations.images))]
    assert (len(found), sum(found), found.count(0)) == (images, boxes, empty)
    assert int(annotations.objects.crowd.sum()) == crowd
    assert len(annotations.classes) == len(folder.classes()) == classes


def test_official_category_ids_have_gaps() -> None:
    split = real_set("coco_official").split("val")
    annotations = read_annotations(split.annotations)
    assert annotations.category_ids[-1] == 90
    assert annotations.classes[0] == "person"
    assert annotations.category_ids.index(90) == 79


@pytest.mark.parametrize("name", ["bccd", "coco80"])
def test_training_batches_hold_boxes_inside_their_images(name: str) -> None:
    settings = Train(batch_size=8, workers=2, augment="paper")
    batches = train_loader(real_set(name).split("train"), SquashResize(320, 320), settings, 0)
    for (inputs, targets), _ in zip(batches.batches(0), range(5), strict=False):
        assert inputs.pixels.shape == (8, 3, 320, 320)
        assert (targets.counts >= 1).all()
        limits = inputs.image_sizes.flip(1).repeat(1, 2)[:, None]
        assert ((targets.boxes >= 0) & (targets.boxes <= limits)).all()


def test_evaluation_reads_every_official_photo() -> None:
    split = real_set("coco_official").split("val")
    found = eval_loader(split, SquashResize(64, 64), Evaluate(batch_size=32, workers=2))
    ids = [image for _, batch in found for image in batch]
    assert ids == [image.id for image in read_annotations(split.annotations).images]
