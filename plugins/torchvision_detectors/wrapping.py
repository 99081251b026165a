"""What wrapping any of torchvision's detectors needs."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from harness.data.batch import Inputs, Targets
from harness.data.resize import Resize
from harness.manifest.schema import Input
from harness.model.assembled import make_resize
from harness.model.detector import Detector
from harness.model.types import AnchorLevel, BoxFrame, Detections


class TorchvisionDetector(Detector):
    """A torchvision detector as `model`, split into the harness's stages.

    Args:
        model: one with torchvision's `transform`, of which only mean and std are used: resizing
            is the harness's, so that loader workers do it.
        detections_per_image: rows of the padded detections.
    """

    def __init__(
        self, model: nn.Module, num_classes: int, resize: Resize, detections_per_image: int
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.classes = tuple(str(i) for i in range(num_classes))
        self.resize = resize
        self.detections_per_image = detections_per_image
        self.reversed_channels = False
        for name in ("mean", "std"):
            values = torch.tensor(getattr(self.model.transform, f"image_{name}"))
            # not part of a checkpoint: published files do not have them
            self.register_buffer(name, values[:, None, None], persistent=False)

    mean: Tensor
    std: Tensor

    def take_input(self, given: Input | None) -> None:
        """What a manifest says of the input; what it leaves out stays torchvision's."""
        if given is None:
            return
        said = given.model_fields_set
        if said & {"size", "resize", "fill"}:
            self.resize = make_resize(given)
        if "mean" in said:
            self.mean.copy_(torch.tensor(given.mean)[:, None, None] / 255)
        if "std" in said:
            self.std.copy_(torch.tensor(given.std)[:, None, None] / 255)
        self.reversed_channels = given.channels == "bgr"

    @property
    def selector(self) -> Any:
        """The module whose `score_thresh` and `nms_thresh` select the detections."""
        return self.model

    @property
    def selection(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {
            "score_threshold": self.selector.score_thresh,
            "nms": f"NMS, IoU {self.selector.nms_thresh:g}",
            "detections_per_image": self.detections_per_image,
        }

    @property
    def anchor_module(self) -> Any:
        """The module with `anchor_generator` and `proposal_matcher`."""
        return self.model

    @property
    def positive_iou(self) -> float:
        limit: float = self.anchor_module.proposal_matcher.high_threshold
        return limit

    @torch.no_grad()
    def anchor_levels(self, size: tuple[int, int]) -> list[AnchorLevel]:
        maps = self._maps_of(size)
        generator = self.anchor_module.anchor_generator
        image = ImageList(torch.zeros(1, 3, *size, device=self.device), [size])
        (anchors,) = generator(image, maps)
        cells = [m.shape[-2] * m.shape[-1] for m in maps]
        each = generator.num_anchors_per_location()
        levels = anchors.split([n * k for n, k in zip(cells, each, strict=True)])
        strides = [size[0] / m.shape[-2] for m in maps]
        return [AnchorLevel(s, boxes) for s, boxes in zip(strides, levels, strict=True)]

    def _maps_of(self, size: tuple[int, int]) -> list[Tensor]:
        """Maps of a grey image, leaving the running statistics of batch norm unchanged."""
        mode = self.training
        maps = self.eval().model.backbone(torch.zeros(1, 3, *size, device=self.device))
        self.train(mode)
        return list(maps.values())

    def normalize(self, pixels: Tensor) -> Tensor:
        values = (pixels.to(self.mean.dtype) / 255 - self.mean) / self.std
        return values.flip(1) if self.reversed_channels else values


def list_targets(targets: Targets, inputs: Inputs) -> list[dict[str, Tensor]]:
    """torchvision's form: per image boxes in network pixels, and labels from 1."""
    boxes = BoxFrame().to_network(targets.boxes, inputs)
    return [
        {"boxes": boxes[i, :n], "labels": targets.labels[i, :n] + 1}
        for i, n in enumerate(targets.counts.tolist())
    ]


def pad_detections(found: Sequence[Mapping[str, Tensor]], inputs: Inputs, rows: int) -> Detections:
    """torchvision's detections in network pixels (labels from 1, best first) -> Detections."""
    batch, device = len(found), inputs.pixels.device
    boxes = torch.zeros(batch, rows, 4, device=device)
    scores = torch.zeros(batch, rows, device=device)
    labels = torch.zeros(batch, rows, dtype=torch.int64, device=device)
    for i, one in enumerate(found):
        n = len(one["scores"])
        boxes[i, :n], scores[i, :n], labels[i, :n] = one["boxes"], one["scores"], one["labels"] - 1
    counts = torch.tensor([len(one["scores"]) for one in found], device=device)
    return Detections(BoxFrame().to_image(boxes, inputs), scores, labels, counts)


def widen_maps(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Maps made half precision by autocast, in float32; others as they are.

    torchvision makes anchors in the dtype of the maps, and bfloat16 has no whole numbers
    beyond 256: anchors would be pixels off.
    """
    if not torch.is_autocast_enabled(next(iter(maps.values())).device.type):
        return dict(maps)
    return {name: m.float() for name, m in maps.items()}
