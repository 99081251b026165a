"""Images without objects in training: which take part, and what becomes of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from photo_sets import RESIZE, loader, make_folder
from pydantic import ValidationError

from harness.data.annotations import read_annotations
from harness.data.dataset import SampleKey
from harness.data.folder import CocoFolder
from harness.data.loader import train_loader
from harness.data.training_images import tell_background, training_images
from harness.manifest.schema import Train


@pytest.fixture
def sparse(tmp_path: Path) -> CocoFolder:
    """Of twelve images four hold objects (1 to 4), and image 5 only a crowd."""
    folder = make_folder(tmp_path / "set", images=12)
    path = folder.split("train").annotations
    document = json.loads(path.read_text())
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] <= 5]
    for annotation in document["annotations"]:
        annotation["iscrowd"] = int(annotation["image_id"] == 5)
    path.write_text(json.dumps(document))
    return folder


def rows(folder: CocoFolder, **settings: Any) -> list[int]:
    return loader(folder, **settings).dataset.indices.tolist()


def test_kept_unless_the_manifest_says_otherwise(sparse: CocoFolder) -> None:
    background = [5, 6, 7, 8, 9, 10, 11]
    assert rows(sparse) == rows(sparse, background="keep") == [0, 1, 2, 3, *background]
    assert rows(sparse, background="drop") == rows(sparse, background=0) == [0, 1, 2, 3]


@pytest.mark.parametrize(("share", "most"), [(0.2, 1), (1 / 3, 2), (0.5, 4), (0.63, 6), (0.9, 7)])
def test_a_share_is_never_exceeded(sparse: CocoFolder, share: float, most: int) -> None:
    found = rows(sparse, background=share)
    assert found[:4] == [0, 1, 2, 3]
    assert len(found) == 4 + most
    assert most / len(found) <= share + 1e-9
    assert found == sorted(set(found))


def test_the_seed_draws_them_alike_in_every_process(sparse: CocoFolder) -> None:
    split, settings = sparse.split("train"), Train(batch_size=2, workers=0, background=0.4)
    drawn = {
        seed: [
            train_loader(split, RESIZE, settings, seed, rank=r, world=2).dataset.indices.tolist()
            for r in (0, 1)
        ]
        for seed in range(6)
    }
    assert all(one == other for one, other in drawn.values())
    assert len({tuple(one) for one, _ in drawn.values()}) > 1


@pytest.mark.parametrize("given", ["some", 1, 1.0, -0.1, True, [0.5]])
def test_what_is_no_share_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError, match="should be keep, drop, or a share from 0 to below 1"):
        Train(background=given)


def test_the_note_counts_them(sparse: CocoFolder) -> None:
    annotations = read_annotations(sparse.split("train").annotations)
    assert tell_background(annotations, "keep") == (
        "7 images hold no object (background): all take part in training beside 4 with objects "
        "(train.background: keep)"
    )
    assert ": none takes part" in tell_background(annotations, "drop")
    assert ": 4 take part" in tell_background(annotations, 0.5)
    full = make_folder(sparse.root / "other").split("train").annotations
    assert tell_background(read_annotations(full), "keep") == ""


@pytest.mark.parametrize(
    "augment",
    ["none", "flip", "paper", ["mosaic", "hsv"], ["random_affine", "mixup"], ["flip", "hsv"]],
)
@pytest.mark.parametrize("on_device", [False, True])
def test_every_augmentation_takes_them(sparse: CocoFolder, augment: Any, on_device: bool) -> None:
    dataset = loader(sparse, augment=augment, on_device=on_device).dataset
    samples = [dataset.sample(SampleKey(e, row)) for e in range(6) for row in range(len(dataset))]
    counts = [len(sample.boxes) for sample in samples]
    assert max(counts) <= dataset.most_boxes
    assert 0 in counts
    of_background = [n for place, n in enumerate(counts) if place % len(dataset) >= 4]
    mixes = bool({"mosaic", "mixup"} & set(augment))
    assert bool(sum(of_background)) is mixes
    # a photo with objects never loses all of them
    assert all(n for place, n in enumerate(counts) if place % len(dataset) < 4)
    assert all(sample.boxes.shape[1:] == (4,) for sample in samples)


def test_a_photo_without_objects_is_augmented_too(sparse: CocoFolder) -> None:
    for augment in ("flip", "paper", ["random_affine"]):
        dataset = loader(sparse, augment=augment).dataset
        seen = [dataset.sample(SampleKey(epoch, 7)).image.pixels for epoch in range(8)]
        assert any(not torch.equal(seen[0], other) for other in seen[1:]), augment


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_without_any_object(sparse: CocoFolder, workers: int) -> None:
    train = loader(sparse, augment="none", workers=workers)
    counts = [targets.counts for epoch in range(3) for _, targets in train.batches(epoch)]
    assert any(not count.any() for count in counts)
    assert any(count.any() and not count.all() for count in counts)


def test_without_a_box_there_is_nothing_to_keep(sparse: CocoFolder) -> None:
    path = sparse.split("train").annotations
    document = json.loads(path.read_text())
    for annotation in document["annotations"]:
        annotation["iscrowd"] = 1
    path.write_text(json.dumps(document))
    assert not len(training_images(read_annotations(path), "keep", 0))
