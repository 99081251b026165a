"""Chains of augmentations in the loader: the same for any number of workers and processes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from photo_sets import RESIZE, equal, loader, make_folder
from torchvision.transforms import v2

from harness.data.chain import Chain, Link
from harness.data.dataset import SampleKey, TrainDataset
from harness.data.folder import CocoFolder
from harness.data.loader import train_loader
from harness.data.resize import LetterboxResize, ShortestSideResize
from harness.errors import UserError
from harness.manifest.schema import Train

STRONG = [
    {"use": "mosaic", "params": {"probability": 0.7}}, "mixup", "random_affine", "multi_scale",
    "hsv", "photometric", "paper", "flip",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CocoFolder:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return make_folder(tmp_path / "set", 6)


def test_batches_depend_on_the_seed_alone_and_resume_anywhere(folder: CocoFolder) -> None:
    here, workers = loader(folder, augment=STRONG), loader(folder, augment=STRONG, workers=2)
    whole = list(here.batches(1))
    assert equal(whole, list(workers.batches(1)))
    assert equal(whole[2:], list(here.batches(1, 2)))
    assert not equal(whole, list(here.batches(0)))
    assert not equal(whole, list(loader(folder, seed=1, augment=STRONG).batches(1)))


def test_two_processes_see_together_what_one_sees(folder: CocoFolder) -> None:
    settings = Train(batch_size=1, workers=0, augment=STRONG)
    split = folder.split("train")
    shares = [train_loader(split, RESIZE, settings, 0, rank=r, world=2) for r in range(2)]
    both = zip(*(list(share.batches(0)) for share in shares), strict=True)
    together = loader(folder, augment=STRONG).batches(0)
    for pair, (inputs, targets) in zip(both, together, strict=True):
        for row, (own, boxes) in enumerate(pair):
            count = int(boxes.counts[0])
            assert torch.equal(own.pixels[0], inputs.pixels[row])
            assert torch.equal(boxes.boxes[0, :count], targets.boxes[row, :count])


def test_a_set_of_one_image_is_mixed_with_itself(tmp_path: Path) -> None:
    train = loader(make_folder(tmp_path, 1), augment=["mosaic", "mixup"], batch_size=4)
    for epoch in range(3):
        for inputs, targets in train.batches(epoch):
            assert inputs.pixels.shape == (4, 3, 64, 64)
            assert (targets.counts >= 1).all()
            assert targets.boxes.shape[1] <= train.most_boxes == 2 * 8


@pytest.mark.parametrize(
    "resize", [RESIZE, LetterboxResize(64, 96), ShortestSideResize(64, 128)], ids=str
)
def test_boxes_lie_in_the_image_and_none_is_tiny(folder: CocoFolder, resize: Any) -> None:
    settings = Train(batch_size=2, workers=0, augment=STRONG)
    train = train_loader(folder.split("train"), resize, settings, 0)
    for epoch in range(6):
        for inputs, targets in train.batches(epoch):
            for row, count in enumerate(targets.counts.tolist()):
                boxes, (height, width) = targets.boxes[row, :count], inputs.image_sizes[row]
                assert count >= 1
                assert (boxes >= 0).all()
                assert (boxes[:, 2::2] <= width).all()
                assert (boxes[:, 3::2] <= height).all()
                scales = inputs.scales[row].flip(0)
                assert ((boxes[:, 2:] - boxes[:, :2]) * scales >= 0.999).all()


def test_where_no_box_is_left_the_photo_stays_as_it_is(folder: CocoFolder) -> None:
    """Moved away by four times its size, nothing of it is seen."""
    away = {"use": "random_affine", "params": {"scale": [0.001, 0.001], "translate": 0}}
    lost, plain = loader(folder, augment=[away]), loader(folder, augment=["hsv"])
    same = loader(folder, augment="none")
    assert equal(list(lost.batches(0)), list(same.batches(0)))
    assert not equal(list(plain.batches(0)), list(same.batches(0)))


@pytest.mark.parametrize("workers", [0, 2])
def test_pixels_that_became_floating_point_are_refused(folder: CocoFolder, workers: int) -> None:
    train = loader(folder, augment=["hsv"], workers=workers)
    scaled = Link(lambda image, target: (image / 255, target), images=1)
    train.dataset.chain = Chain((scaled,))
    with pytest.raises(UserError, match=r"train.augment: .* torch.float32, not of uint8"):
        next(train.batches(0))


@pytest.mark.slow
def test_what_torchvision_crops_away_is_dropped(folder: CocoFolder) -> None:
    """`v2.RandomIoUCrop` leaves boxes outside of its crop as empty ones."""
    dataset = loader(folder, augment=["hsv"]).dataset
    cropped = Link(v2.RandomIoUCrop(sampler_options=[0.3]), images=1)
    dataset.chain = Chain((cropped,))
    samples = [dataset.sample(SampleKey(epoch, row)) for epoch in range(5) for row in range(6)]
    assert {len(sample.boxes) for sample in samples} == {1, 2}
    assert all((s.boxes[:, 2:] > s.boxes[:, :2]).all() for s in samples)
    assert len({sample.image.image_size for sample in samples}) > 10


def test_a_closing_sample_is_one_photo(folder: CocoFolder) -> None:
    dataset = loader(folder, augment=["mosaic", "flip"]).dataset
    assert isinstance(dataset, TrainDataset)
    closed = [dataset.sample(SampleKey(0, row, closing=True)) for row in range(6)]
    assert {len(sample.boxes) for sample in closed} == {2}
    assert any(len(dataset.sample(SampleKey(0, row)).boxes) > 2 for row in range(6))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("close", [2, 0.25, "0.6667 epochs"])
def test_the_end_of_a_training_is_without_mosaic(
    folder: CocoFolder, close: Any, workers: int
) -> None:
    """Of 8 steps at 3 batches an epoch, the last two: epoch 2."""
    how: dict[str, Any] = {"augment": ["mosaic", "hsv"], "workers": workers}
    strong, mild = loader(folder, **how), loader(folder, augment=["hsv"])
    closing = loader(folder, steps=8, close_augment=close, **how)
    for epoch in range(3):
        batches = zip(*(each.batches(epoch) for each in (closing, strong, mild)), strict=True)
        for step, (found, before, after) in enumerate(batches):
            closed = 3 * epoch + step >= 6
            assert equal([found], [before]) != closed
            assert equal([found], [after]) == closed
    resumed, mild_again = closing.batches(2, 1), mild.batches(2, 1)
    assert equal([next(resumed)], [next(mild_again)])


def test_accumulated_batches_count_as_one_step(folder: CocoFolder) -> None:
    settings = Train(steps=4, accumulate=2, batch_size=2, close_augment=1, workers=0)
    assert train_loader(folder.split("train"), RESIZE, settings, 0).order.close_at == 6


def test_names_and_params_are_checked_without_a_plan_too(folder: CocoFolder) -> None:
    for augment, found in (
        ("mosiac", r"train.augment: no augmentation is called 'mosiac' \(did you mean 'mosaic'"),
        ([{"use": "hsv", "params": {"heu": 1}}], "unknown key 'heu'"),
    ):
        with pytest.raises(UserError, match=found):
            loader(folder, augment=augment)
