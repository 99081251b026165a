"""Loaders: determinism, resumption, worker processes, and mistakes that workers meet."""

import json
import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from photo_sets import RESIZE, equal, loader, make_folder
from torch import Tensor

from harness.data.dataset import pad_targets
from harness.data.folder import CocoFolder, check_split
from harness.data.loader import EpochBatches, eval_loader, start_worker
from harness.data.photometric import UndistortedInputs
from harness.errors import UserError
from harness.manifest.schema import Evaluate


@pytest.mark.parametrize("augment", ["none", "flip", "paper"])
def test_batches_do_not_depend_on_the_number_of_workers(folder: CocoFolder, augment: str) -> None:
    here, workers = loader(folder, augment=augment), loader(folder, augment=augment, workers=2)
    for epoch in range(2):
        assert equal(list(here.batches(epoch)), list(workers.batches(epoch)))


def test_distortion_is_the_same_in_workers_and_on_the_device(folder: CocoFolder) -> None:
    here = loader(folder, augment="paper")
    later, elsewhere = (
        loader(folder, augment="paper", on_device=True, workers=workers) for workers in (0, 2)
    )
    changed = 0
    for epoch in range(4):
        batches = list(later.batches(epoch))
        assert equal(batches, list(elsewhere.batches(epoch)))
        for (inputs, targets), expected in zip(batches, here.batches(epoch), strict=True):
            assert isinstance(inputs, UndistortedInputs)
            changed += not torch.equal(inputs.pixels, expected[0].pixels)
            assert equal([(inputs.distorted(), targets)], [expected])
    assert changed > 6


def test_resuming_in_an_epoch_gives_its_remaining_batches(folder: CocoFolder) -> None:
    whole = loader(folder)
    expected = [batch for epoch in range(3) for batch in whole.batches(epoch)]
    torch.manual_seed(99)
    resumed = loader(folder)
    found = [*resumed.batches(1, start=2), *resumed.batches(2)]
    assert equal(found, expected[5:])


def test_leaving_an_epoch_early_does_not_disturb_the_next(folder: CocoFolder) -> None:
    train = loader(folder, workers=2)
    begun = train.batches(0)
    next(begun)
    assert equal(list(train.batches(1)), list(loader(folder).batches(1)))


def test_epochs_and_seeds_differ(folder: CocoFolder) -> None:
    first = list(loader(folder).batches(0))
    assert not equal(first, list(loader(folder).batches(1)))
    assert not equal(first, list(loader(folder, seed=1).batches(0)))
    assert equal(first, list(loader(folder).batches(0)))


def test_reading_leaves_the_global_generator_alone(folder: CocoFolder) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train = loader(folder)
    train.dataset.sample(next(iter(train.order))[0])
    assert torch.equal(torch.rand(3), expected)


def test_targets_are_pixels_of_the_image_that_the_inputs_scale(folder: CocoFolder) -> None:
    annotations = loader(folder).dataset.annotations
    for inputs, targets in loader(folder, augment="none").batches(0):
        for row in range(2):
            height, width = inputs.image_sizes[row].tolist()
            expected = next(
                i
                for i, e in enumerate(annotations.images)
                if (e.height, e.width) == (height, width)
            )
            boxes = torch.from_numpy(annotations.of_image(expected).boxes).float()
            assert torch.equal(targets.boxes[row, : targets.counts[row]], boxes)
            torch.testing.assert_close(inputs.scales[row], torch.tensor([64 / height, 64 / width]))
    assert inputs.pixels.dtype == torch.uint8
    assert inputs.sizes.tolist() == [[64, 64]] * 2


def epoch_rows(images: int, batch: int, world: int, epoch: int = 0) -> list[list[int]]:
    """Rows that each process sees."""
    found = []
    for rank in range(world):
        order = EpochBatches(images, batch, 0, rank, world)
        order.set_epoch(epoch)
        found.append([key.row for keys in order for key in keys])
    return found


@pytest.mark.parametrize(("images", "batch", "world", "steps"), [(205, 4, 1, 51), (205, 4, 2, 25)])
def test_processes_share_an_epoch_without_repeats(
    images: int, batch: int, world: int, steps: int
) -> None:
    rows = epoch_rows(images, batch, world)
    seen = [row for each in rows for row in each]
    assert [len(each) for each in rows] == [steps * batch] * world
    assert len(set(seen)) == len(seen)
    left_out = [set(range(images)) - set(epoch_rows(images, batch, world, e)[0]) for e in (0, 1)]
    assert left_out[0] != left_out[1]


def test_a_small_set_is_repeated_to_fill_one_batch() -> None:
    rows = epoch_rows(3, 4, 2)
    assert [len(each) for each in rows] == [4, 4]
    assert set(rows[0]) | set(rows[1]) == {0, 1, 2}


@pytest.mark.parametrize("augment", ["none", "flip", "paper"])
def test_no_batch_is_short_or_has_more_boxes_than_told(folder: CocoFolder, augment: str) -> None:
    train = loader(folder, augment=augment)
    batches = [batch for epoch in range(4) for batch in train.batches(epoch)]
    assert {len(inputs.pixels) for inputs, _ in batches} == {2}
    rows = [targets.labels.shape[1] for _, targets in batches]
    counted = [int(targets.counts.max()) for _, targets in batches]
    assert max(rows) == max(counted) <= train.most_boxes
    if augment != "paper":  # which crops boxes away
        assert max(counted) == train.most_boxes


def test_length_counts_the_whole_epoch(folder: CocoFolder) -> None:
    train = loader(folder)
    assert train.steps_per_epoch == 3
    assert len(list(train.batches(0, start=1))) == 2
    assert train.steps_per_epoch == 3
    with pytest.raises(ValueError, match="step 4"):
        list(train.batches(0, start=4))


def test_images_without_boxes_or_too_small_are_left_out(folder: CocoFolder) -> None:
    path = folder.split("train").annotations
    document = json.loads(path.read_text())
    document["images"][0]["height"] = 31
    for annotation in document["annotations"]:
        if annotation["image_id"] == 1:
            annotation["bbox"] = [0, 0, 5, 5]
        if annotation["image_id"] == 2:
            annotation["iscrowd"] = 1
        if annotation["image_id"] == 3:
            annotation["bbox"][2] = 0
    path.write_text(json.dumps(document))
    assert loader(folder).dataset.indices.tolist() == [3, 4, 5]
    for annotation in document["annotations"]:
        annotation["iscrowd"] = 1
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match="no boxes to train on"):
        loader(folder)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_is_the_same_one_line_from_any_process(
    folder: CocoFolder, workers: int
) -> None:
    bad = folder.split("train").images / "4.jpg"
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(UserError) as caught:
        list(loader(folder, workers=workers).batches(0))
    assert (caught.value.where, caught.value.hint) == (str(bad), "needs a whole image file")
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(UserError, match=r"4\.jpg: is broken"):
        list(eval_loader(folder.split("train"), RESIZE, Evaluate(workers=workers)))


def test_user_errors_survive_pickling() -> None:
    error = UserError("is bad", where="x.json:3", hint="needs better")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.found, again.where, again.hint) == (
        "x.json:3: is bad (needs better)",
        "is bad",
        "x.json:3",
        "needs better",
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_gives_every_image_in_the_files_order(folder: CocoFolder, workers: int) -> None:
    split = folder.split("train")
    found = eval_loader(split, RESIZE, Evaluate(batch_size=4, workers=workers))
    assert len(found) == 2
    batches = list(found)
    assert [ids for _, ids in batches] == [[1, 2, 3, 4], [5, 6]]
    assert batches[1][0].image_sizes.tolist() == [[58, 84], [60, 88]]
    first = eval_loader(split, RESIZE, Evaluate(batch_size=2, workers=workers, max_images=3))
    assert [ids for _, ids in first] == [[1, 2], [3]]


def test_processes_share_an_evaluation(folder: CocoFolder) -> None:
    split, settings = folder.split("train"), Evaluate(batch_size=4, workers=0)
    whole = list(eval_loader(split, RESIZE, settings))
    shares = [eval_loader(split, RESIZE, settings, rank=rank, world=3) for rank in range(3)]
    assert [share.images for share in shares] == [4, 2, 0]
    found = [batch for share in shares for batch in share]
    assert [ids for _, ids in found] == [ids for _, ids in whole]
    for (inputs, _), (expected, _) in zip(found, whole, strict=True):
        assert torch.equal(inputs.pixels, expected.pixels)


def test_padding_is_zero_and_one_row_wide_at_least() -> None:
    targets = pad_targets(
        [torch.ones(2, 4), torch.ones(0, 4)], [torch.ones(2).long()] * 1 + [torch.ones(0).long()]
    )
    assert targets.counts.tolist() == [2, 0]
    assert not targets.boxes[1].any()
    assert targets.valid.tolist() == [[True, True], [False, False]]
    assert pad_targets([torch.ones(0, 4)], [torch.ones(0).long()]).boxes.shape == (1, 1, 4)


def test_batches_can_be_pinned(folder: CocoFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    batch = next(loader(folder).batches(0))
    again = (batch[0].pin_memory(), batch[1].pin_memory())
    assert equal([batch], [again])
    assert len(pinned) == 8


@pytest.fixture
def _signals() -> Iterator[None]:
    """Handlers and threads as they were."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals")
def test_workers_leave_ctrl_c_to_the_main_process() -> None:
    start_worker(0)
    os.kill(os.getpid(), signal.SIGINT)
    assert torch.get_num_threads() == 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_file_names_in_sub_folders_are_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "set")
    split = folder.split("train")
    (split.images / "deep").mkdir()
    (split.images / "1.jpg").rename(split.images / "deep" / "1.jpg")
    split.annotations.write_text(split.annotations.read_text().replace('"1.jpg', '"deep/1.jpg'))
    assert check_split(folder.split("train"))
    assert sum(len(ids) for _, ids in eval_loader(split, RESIZE, Evaluate(workers=0))) == 6
