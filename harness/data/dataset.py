"""Torch data sets over a split, for training and for evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from harness.data.annotations import Annotations, ImageEntry, read_annotations
from harness.data.augment import Augment
from harness.data.batch import Inputs, Targets
from harness.data.folder import image_path
from harness.data.images import read_image
from harness.data.resize import Resize, ResizedImage, collate_images
from harness.data.source import Split
from harness.errors import UserError

MIN_IMAGE_SIDE = 32  # pixels; smaller images are left out of training


class SampleKey(NamedTuple):
    """What a sampler asks for; with the seed it determines a training sample wholly."""

    epoch: int
    row: int


@dataclass(frozen=True)
class TrainSample:
    image: ResizedImage
    boxes: Tensor
    labels: Tensor


@dataclass(frozen=True)
class EvalSample:
    image: ResizedImage
    image_id: int


def read_entry(split: Split, image: ImageEntry) -> Tensor:
    """Pixels of an annotated image, in the orientation that the annotations mean."""
    return read_image(image_path(split.images, image.file_name), (image.height, image.width))


def sample_seed(seed: int, key: SampleKey) -> int:
    """Independent 64-bit seeds for neighbouring epochs and rows."""
    return int(np.random.SeedSequence((seed, key.epoch, key.row)).generate_state(1, np.uint64)[0])


class TrainDataset(Dataset[TrainSample | UserError]):
    """Augmented training samples; images without a trainable box or too small are left out.

    A sample is a pure function of (seed, epoch, row). A user's mistake found in a worker is
    returned, not raised, so that it reaches the main process as it is.

    Attributes:
        annotations: of the whole split.
        indices: positions in `annotations.images` of the images trained on.

    Raises:
        UserError: no image is left to train on.
    """

    def __init__(self, split: Split, resize: Resize, augment: Augment, seed: int) -> None:
        self.split, self.resize, self.augment, self.seed = split, resize, augment, seed
        self.annotations = read_annotations(split.annotations)
        self.indices = trainable_images(self.annotations)
        if not len(self.indices):
            raise UserError(
                "has no boxes to train on",
                where=split.annotations,
                mend=f"needs boxes that are no crowds, in images of {MIN_IMAGE_SIDE} px or more",
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: SampleKey) -> TrainSample | UserError:
        try:
            return self.sample(key)
        except UserError as error:
            return error

    def sample(self, key: SampleKey) -> TrainSample:
        """Read and augment one sample; torch's default generator is left as it was."""
        index = int(self.indices[key.row])
        image = read_entry(self.split, self.annotations.images[index])
        objects = self.annotations.trainable(index)
        boxes = torch.from_numpy(objects.boxes).float()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(sample_seed(self.seed, key))
            image, boxes, labels = self.augment(image, boxes, torch.from_numpy(objects.labels))
        return TrainSample(self.resize(image), boxes, labels)


def trainable_images(annotations: Annotations) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Positions of the images with a trainable box and no side under `MIN_IMAGE_SIDE`."""
    kept = [
        position
        for position, image in enumerate(annotations.images)
        if min(image.width, image.height) >= MIN_IMAGE_SIDE and len(annotations.trainable(position))
    ]
    return np.array(kept, dtype=np.int64)


class EvalDataset(Dataset[EvalSample | UserError]):
    """All images in the order of the file, or the first `max_images`."""

    def __init__(self, split: Split, resize: Resize, max_images: int | None = None) -> None:
        self.split, self.resize = split, resize
        self.images = read_annotations(split.annotations).images[:max_images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> EvalSample | UserError:
        entry = self.images[index]
        try:
            return EvalSample(self.resize(read_entry(self.split, entry)), entry.id)
        except UserError as error:
            return error


def collate_train(samples: Sequence[TrainSample | UserError]) -> tuple[Inputs, Targets] | UserError:
    """Samples -> a batch, or the first mistake among them."""
    good = [sample for sample in samples if isinstance(sample, TrainSample)]
    if len(good) < len(samples):
        return _first_error(samples)
    inputs = collate_images([sample.image for sample in good])
    return inputs, pad_targets([s.boxes for s in good], [s.labels for s in good])


def collate_eval(samples: Sequence[EvalSample | UserError]) -> tuple[Inputs, list[int]] | UserError:
    good = [sample for sample in samples if isinstance(sample, EvalSample)]
    if len(good) < len(samples):
        return _first_error(samples)
    return collate_images([sample.image for sample in good]), [sample.image_id for sample in good]


def _first_error(samples: Sequence[object]) -> UserError:
    return next(sample for sample in samples if isinstance(sample, UserError))


def pad_targets(boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> Targets:
    """Per image boxes (N, 4) and labels (N,) -> one padded batch, at least one row wide."""
    width = max(1, *(len(each) for each in labels))
    padded_boxes = torch.zeros(len(boxes), width, 4)
    padded_labels = torch.zeros(len(boxes), width, dtype=torch.int64)
    for row, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        padded_boxes[row, : len(box)] = box
        padded_labels[row, : len(label)] = label
    return Targets(padded_boxes, padded_labels, torch.tensor([len(each) for each in labels]))
