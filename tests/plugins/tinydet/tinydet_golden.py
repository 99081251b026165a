"""TinyDet as its tests need it: assembled without a manifest, with weights made by a rule."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from reference_data import reference_files, rng
from torch import Tensor, nn

from harness.data.batch import Inputs, Targets
from harness.manifest.schema import Input
from harness.model.two_stage import TwoStageDetector
from harness_plugins.roi_ops.pooling import psroi_align_max
from harness_plugins.tinydet.backbones import mobilenetv3_bc, mobilenetv3_d
from harness_plugins.tinydet.box_head import tiny_box_head
from harness_plugins.tinydet.fpn import TinyFpn
from harness_plugins.tinydet.rpn import tiny_rpn

GAINS = {
    "neck.lateral_convs": 0.7,
    "neck.fpn_convs": 0.7,
    "rpn_head.rpn_cls": 2.0,
    "rpn_head.rpn_reg": 0.15,
    "bbox_head.fc_cls": 2.5,
    "bbox_head.fc_reg": 0.5,
}


@dataclass(frozen=True)
class Size:
    backbone: str
    side: int
    groups: tuple[int, ...]
    anchor_scale: float
    strides: tuple[int, ...]
    finest_scale: float


SIZES = {
    "S": Size("d", 320, (7, 5, 1, 1), 2.25, (8, 16), 30),
    "M": Size("bc", 320, (49, 7, 5, 1, 1), 3.2, (4, 8, 16), 22.4),
    "L": Size("bc", 512, (49, 7, 5, 1, 1), 5.12, (4, 8, 16), 35.8),
}


def build(
    name: str, num_classes: int = 80, pixels: int | None = None, **rpn_params: object
) -> TwoStageDetector:
    """TinyDet-S, -M or -L with fresh weights, for images of other sides where they are given."""
    size = SIZES[name]
    side = (pixels or size.side,) * 2
    backbone = mobilenetv3_d() if size.backbone == "d" else mobilenetv3_bc()
    neck = TinyFpn(backbone.out_features, groups=size.groups)
    rpn = tiny_rpn(neck.out_features, image_size=side, anchor_scale=size.anchor_scale, **rpn_params)
    pool = psroi_align_max(neck.out_features, strides=size.strides, finest_scale=size.finest_scale)
    head = tiny_box_head(pool.out_feature, num_classes=num_classes, image_size=side)
    return TwoStageDetector(
        backbone=backbone,
        neck=neck,
        rpn=rpn,
        roi_pool=pool,
        box_head=head,
        classes=tuple(f"class {i}" for i in range(num_classes)),
        given=Input(size=side),
    )


def draw_weight(seed: int, key: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = rng(seed, key)
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith("running_var"):
        value = 0.9 + 0.2 * generator.random(shape)
    elif key.endswith(("running_mean", "bias")):
        value = 0.1 * generator.standard_normal(shape)
    elif len(shape) == 1:
        value = 1 + 0.1 * generator.standard_normal(shape)
    else:
        value = generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    parts = key.split(".")
    if len(shape) > 1:
        value = value * GAINS.get(".".join(parts[:2]), 1.0)
    if key.startswith("neck.fpn_convs."):
        value = value * (1 + 0.5 * int(parts[2]))
    if ".bn3.weight" in key:
        value = value * 0.3
    return value.astype(np.float32)


def load_drawn_weights(model: nn.Module, seed: int) -> None:
    state = model.state_dict()
    drawn = {k: torch.from_numpy(draw_weight(seed, k, tuple(v.shape))) for k, v in state.items()}
    model.load_state_dict(drawn)


def draw_pixels(seed: int, key: str, batch: int, side: int) -> Tensor:
    return torch.from_numpy(rng(seed, key).standard_normal((batch, 3, side, side))).float()


def as_inputs(pixels: Tensor) -> Inputs:
    """A normalised batch at scale 1."""
    batch, _, height, width = pixels.shape
    sizes = torch.tensor([[height, width]]).repeat(batch, 1)
    return Inputs(pixels, sizes, torch.ones(batch, 2), sizes)


def exclusive(boxes: np.ndarray) -> Tensor:
    """Stored corners are inclusive."""
    return torch.from_numpy(boxes).float() + torch.tensor([0.0, 0.0, 1.0, 1.0])


def stored_targets(golden: dict[str, np.ndarray]) -> Targets:
    """Ground truth of the training figures; the stored labels start at 1."""
    count = sum(key.startswith("gt_boxes.") for key in golden)
    boxes = [exclusive(golden[f"gt_boxes.{i}"]) for i in range(count)]
    labels = [torch.from_numpy(golden[f"gt_labels.{i}"]) - 1 for i in range(count)]
    return Targets(
        nn.utils.rnn.pad_sequence(boxes, batch_first=True),
        nn.utils.rnn.pad_sequence(labels, batch_first=True),
        torch.tensor([len(b) for b in boxes]),
    )


@dataclass(frozen=True)
class Golden:
    """One file of figures, and the detector that they are of."""

    size: str
    seed: int
    figures: dict[str, np.ndarray]

    @property
    def side(self) -> int:
        return SIZES[self.size].side

    def detector(self, **rpn_params: object) -> TwoStageDetector:
        detector = build(self.size, **rpn_params)
        load_drawn_weights(detector, self.seed)
        return detector.eval()

    def check_map(self, name: str, value: Tensor, relative: float = 1e-4) -> None:
        """Sampled values within `relative` of the map's mean magnitude."""
        assert tuple(self.figures[f"{name}.shape"]) == tuple(value.shape), name
        picked = value.detach().reshape(-1)[torch.from_numpy(self.figures[f"{name}.index"])]
        error = np.abs(picked.numpy() - self.figures[f"{name}.value"]).max()
        assert error <= relative * float(self.figures[f"{name}.mean_abs"]), (name, error)


def golden_files() -> list[Path]:
    """Committed files, and those of the folder that HARNESS_REFERENCE_DATA names."""
    return reference_files("golden_[SML]_seed*.npz")


def read_golden(path: Path) -> Golden:
    _, size, seed = path.stem.split("_")
    with np.load(path) as arrays:
        return Golden(size, int(seed.removeprefix("seed")), dict(arrays))
