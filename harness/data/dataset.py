"""Torch data sets over a split, for training and for evaluation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from harness.data.annotations import Annotations
from harness.data.augment import MIN_SIDE, View, cut
from harness.data.batch import Inputs, Targets
from harness.data.chain import Chain, Sample, make_sample
from harness.data.photometric import BatchDistortion, Distortion, Rectangle, UndistortedInputs
from harness.data.reading import ImageReader
from harness.data.resize import ResizedImage, collate_images
from harness.data.training_images import MIN_IMAGE_SIDE, Background, training_images
from harness.errors import UserError


class SampleKey(NamedTuple):
    """What a sampler asks for; with the seed it determines a training sample completely.

    `closing`: without augmentations that make one image of several.
    """

    epoch: int
    row: int
    closing: bool = False


@dataclass(frozen=True)
class TrainSample:
    """A sample at network size.

    Attributes:
        seed: for what a loss draws at random in it.
        distortion: still to be applied, inside `photo`; None: none is left.
    """

    image: ResizedImage
    boxes: Tensor
    labels: Tensor
    seed: int
    distortion: Distortion | None
    photo: Rectangle


@dataclass(frozen=True)
class EvalSample:
    image: ResizedImage
    image_id: int


def sample_seeds(seed: int, key: SampleKey) -> tuple[int, int]:
    """64 bits for the augmentation and 62 for the losses, independent for each epoch and row."""
    sequence = np.random.SeedSequence((seed, key.epoch, key.row))
    of_view, of_loss = sequence.generate_state(2, np.uint64)
    return int(of_view), int(of_loss) >> 2


class TrainDataset(Dataset[TrainSample | UserError]):
    """Augmented training samples of the images that `training_images` chooses.

    A sample is a pure function of the seed and its key. A user's mistake found in a worker is
    returned, not raised, so that it reaches the main process as it is.

    Attributes:
        annotations: of the whole split.
        chain: what is done to each sample.
        distort_on_device: distortion is left to `UndistortedInputs`, for the whole batch at once.
        indices: positions in `annotations.images` of the images trained on.

    Raises:
        UserError: no image is left to train on.
    """

    def __init__(
        self,
        reader: ImageReader,
        annotations: Annotations,
        chain: Chain,
        seed: int,
        background: Background = "keep",
        distort_on_device: bool = False,
    ) -> None:
        self.reader, self.annotations, self.chain, self.seed = reader, annotations, chain, seed
        self.distort_on_device = distort_on_device
        self.indices = training_images(annotations, background, seed)
        if not len(self.indices):
            raise UserError(
                "has no boxes to train on",
                where=annotations.path,
                hint=f"needs boxes that are not crowds, in images of {MIN_IMAGE_SIDE} px or more",
            )

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def most_boxes(self) -> int:
        """Boxes of as many images as make one, each with the most; augmentation removes some."""
        most = max(len(self.annotations.trainable(int(index))) for index in self.indices)
        return most * self.chain.images

    def __getitem__(self, key: SampleKey) -> TrainSample | UserError:
        try:
            return self.sample(key)
        except UserError as error:
            return error

    def sample(self, key: SampleKey) -> TrainSample:
        """Read and augment one sample; torch's default generator is left unchanged."""
        index = int(self.indices[key.row])
        of_view, of_loss = sample_seeds(self.seed, key)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(of_view)
            if (only := self.chain.view) is None:
                original = self.original(index)
                augmented = self.chain(original, self.another, key.closing)
                return self.finish(augmented, original, of_loss)
            entry = self.annotations.images[index]
            size = (entry.height, entry.width)
            view = only.draw(size, *self.objects(index))
        return self.render(index, view, size, of_loss, only.fill)

    def objects(self, index: int) -> tuple[Tensor, Tensor]:
        """Boxes and labels of an image."""
        found = self.annotations.trainable(index)
        return torch.from_numpy(found.boxes).float(), torch.from_numpy(found.labels)

    def original(self, index: int) -> Sample:
        """A photo and its objects as they are."""
        return make_sample(self.reader.photo(index), *self.objects(index))

    def another(self) -> Sample:
        """One of the images that are trained on, by torch's default generator."""
        return self.original(int(self.indices[int(torch.randint(len(self), ()))]))

    def finish(self, augmented: Sample, original: Sample, seed: int) -> TrainSample:
        """At network size; boxes clipped, and dropped where `MIN_SIDE` network pixels are not left.

        Where none of its boxes is left, it is the original: only background lacks ground truth.

        Raises:
            UserError: the pixels are not of uint8 any more.
        """
        if augmented[0].dtype != torch.uint8:
            found = f"the augmentations give pixels of {augmented[0].dtype}, not of uint8"
            raise UserError(found, where="train.augment", hint="detectors normalise themselves")
        for pixels, objects in (augmented, original):
            image = self.reader.resize(pixels.as_subclass(Tensor))
            boxes = objects["boxes"].as_subclass(Tensor)
            (height, width), (y, x) = image.image_size, image.scale
            limit = torch.tensor([width, height] * 2, dtype=boxes.dtype)
            boxes = boxes.clamp(min=0.0).minimum(limit)
            sides = (boxes[:, 2:] - boxes[:, :2]) * torch.tensor([x, y])
            kept = (sides >= MIN_SIDE).all(1)
            if kept.any() or not len(original[1]["boxes"]):
                break
        else:
            boxes, kept = objects["boxes"].as_subclass(Tensor), torch.ones_like(kept)
        whole = (0, 0, image.pixels.shape[2], image.pixels.shape[1])
        return TrainSample(image, boxes[kept], objects["labels"][kept], seed, None, whole)

    def render(
        self, index: int, view: View, size: tuple[int, int], seed: int, fill: Tensor | None
    ) -> TrainSample:
        """Pixels of a view: cropped, resized to network size, distorted, flipped."""
        if view.window is None:
            image = self.reader.resized(index)
        else:
            assert fill is not None
            image = self.reader.resize(cut(self.reader.photo(index), view.window, fill))
        photo, pixels = photo_rectangle(view, size, image), image.pixels
        if not self.distort_on_device:
            pixels = view.distortion.within(pixels, photo)
        if view.flip:
            width, (x1, y1, x2, y2) = pixels.shape[2], photo
            pixels, photo = pixels.flip(-1), (width - x2, y1, width - x1, y2)
        left = view.distortion if self.distort_on_device else None
        image = replace(image, pixels=pixels)
        return TrainSample(image, view.boxes, view.labels, seed, left, photo)


def photo_rectangle(view: View, size: tuple[int, int], image: ResizedImage) -> Rectangle:
    """Network pixels whose centres are in the photo; those at its edge contain canvas too."""
    height, width = image.pixels.shape[1:]
    if view.window is None:
        return 0, 0, width, height
    (y, x), (top, left) = image.scale, (view.window.top, view.window.left)

    def first(place: int, scale: float, limit: int) -> int:
        return min(max(0, math.ceil(place * scale - 0.5)), limit)

    return (
        first(-left, x, width),
        first(-top, y, height),
        first(size[1] - left, x, width),
        first(size[0] - top, y, height),
    )


class EvalDataset(Dataset[EvalSample | UserError]):
    """All images in the order of the file, or the first `max_images`."""

    def __init__(self, reader: ImageReader, max_images: int | None = None) -> None:
        self.reader, self.images = reader, reader.images[:max_images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> EvalSample | UserError:
        try:
            return EvalSample(self.reader.resized(index), self.images[index].id)
        except UserError as error:
            return error


def collate_train(samples: Sequence[TrainSample | UserError]) -> tuple[Inputs, Targets] | UserError:
    """Samples -> a batch, or the first mistake among them."""
    good = [sample for sample in samples if isinstance(sample, TrainSample)]
    if len(good) < len(samples):
        return _first_error(samples)
    inputs = collate_images([sample.image for sample in good])
    draws = [sample.distortion for sample in good if sample.distortion is not None]
    if draws:
        distortion = BatchDistortion.of(draws, [sample.photo for sample in good])
        inputs = UndistortedInputs(**vars(inputs), distortion=distortion)
    targets = pad_targets([s.boxes for s in good], [s.labels for s in good])
    return inputs, replace(targets, seeds=torch.tensor([s.seed for s in good]))


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
