"""The contract every detector keeps, assembled or whole."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.data.batch import Inputs, Targets
from harness.data.photometric import UndistortedInputs
from harness.data.resize import Resize, collate_images
from harness.model.arithmetic import arithmetic
from harness.model.types import AnchorLevel, Detections


class Detector(nn.Module, ABC):
    """Images in, detections out, in three members that can be timed separately.

    `preprocess` (resize, normalise) -> `network` (everything with weights) -> `postprocess`
    (NMS, scaling back).

    Attributes:
        classes: names of the classes; label i is `classes[i]`.
        resize: how an image comes to network size; picklable, so loader workers run it.
        roles: role ("backbone", "neck", "rpn", "roi_op", "head") -> prefixes of the names of
            the modules with that role, for the split of cost and latency.
        selection: how detections are selected, a condition of every AP and latency:
            `score_threshold`, `nms` (in words) and `detections_per_image`.
        segments: what a runtime that takes exported graphs runs in place of torch: names of methods
            or submodules, each from tensors to tensors (in lists, tuples, dicts and dataclasses)
            of shapes that follow from those of its inputs. What lies between them stays as it is.
        training_only: prefixes of the names of parameters that only `losses` uses: files for
            inference may lack them, and no cost counts them.
    """

    classes: tuple[str, ...]
    resize: Resize
    roles: Mapping[str, tuple[str, ...]]
    selection: Mapping[str, Any] = MappingProxyType({})
    segments: tuple[str, ...] = ("network",)
    training_only: tuple[str, ...] = ()

    @abstractmethod
    def normalize(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 RGB -> what the network takes, in the parameters' dtype."""

    @abstractmethod
    def network(self, inputs: Inputs) -> Any:
        """Normalised inputs -> raw outputs."""

    @abstractmethod
    def postprocess(self, outputs: Any, inputs: Inputs) -> Detections:
        """Raw outputs -> detections in pixels of the images as given."""

    @abstractmethod
    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        """Named scalar losses whose sum is minimised; normalised inputs, targets in image px."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Told at the first step of each epoch of a training, from 0, and when one is resumed.

        For losses that change on the way. A step may be captured, so what it is to notice must be
        in a buffer.

        Args:
            epochs: of the whole training, a begun one included.
        """

    def begin_last_phase(self) -> None:
        """Told once, when the time of `train.close_augment` begins, and when a training is resumed
        in it; for losses, as `begin_epoch`."""

    def anchor_levels(self, size: tuple[int, int]) -> list[AnchorLevel]:
        """Anchors for a network input of (height, width), as padded; empty without anchors."""
        return []

    @property
    def positive_iou(self) -> float | None:
        """IoU from which an anchor is positive; None without such a limit."""
        return None

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def prepare(self, inputs: Inputs) -> Inputs:
        """Move a uint8 batch to the detector's device, distort it if need be, and normalise."""
        moved: Inputs = inputs.to(self.device, non_blocking=True)
        if isinstance(moved, UndistortedInputs):
            moved = moved.distorted()
        return Inputs(self.normalize(moved.pixels), moved.sizes, moved.scales, moved.image_sizes)

    def preprocess(self, images: Sequence[Tensor]) -> Inputs:
        """uint8 RGB images (3, h, w) of any sizes -> a normalised batch."""
        return self.prepare(collate_images([self.resize(image) for image in images]))

    def forward(
        self, inputs: Inputs, targets: Targets | None = None
    ) -> Detections | dict[str, Tensor]:
        """Losses when targets are given (DDP needs one entry), detections otherwise."""
        if targets is not None:
            return self.losses(inputs, targets)
        return self.postprocess(self.network(inputs), inputs)

    @torch.inference_mode()
    def predict(self, images: Sequence[Any]) -> list[dict[str, Tensor]]:
        """Detect in uint8 RGB images, in float32 without TF32.

        Args:
            images: arrays (h, w, 3) or tensors (3, h, w), uint8, of any sizes.

        Returns:
            Per image `boxes` (N, 4) xyxy in its own pixels with exclusive corners, `scores`
            (N,) and contiguous `labels` (N,), best first.
        """
        if len(images) == 0:
            return []
        with arithmetic("float32"):
            found = self(self.preprocess([as_image(image) for image in images])).to("cpu")
        return [
            {
                "boxes": found.boxes[i, :n],
                "scores": found.scores[i, :n],
                "labels": found.labels[i, :n],
            }
            for i, n in enumerate(found.counts.tolist())
        ]


def as_image(image: Any) -> Tensor:
    """An (h, w, 3) array or a (3, h, w) tensor of uint8 -> a (3, h, w) tensor.

    Raises:
        TypeError: another dtype.
        ValueError: another shape.
    """
    tensor = image if isinstance(image, Tensor) else torch.from_numpy(_readable(image))
    if not isinstance(image, Tensor) and tensor.ndim == 3:
        tensor = tensor.permute(2, 0, 1)
    if tensor.dtype != torch.uint8:
        raise TypeError(f"images are uint8, not {tensor.dtype}")
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise ValueError(
            f"images are (h, w, 3) arrays or (3, h, w) tensors, not {tuple(image.shape)}"
        )
    return tensor


def _readable(array: NDArray[Any]) -> NDArray[Any]:
    """The array if torch can use its memory, a copy if it is mirrored or read-only."""
    return array if array.flags.writeable and min(array.strides, default=0) >= 0 else array.copy()
