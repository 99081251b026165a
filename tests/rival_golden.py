"""Weights, images and figures of the published one-stage detectors, by the rules of their files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from reference_data import rng
from torch import Tensor, nn

from harness.data.batch import Targets

Figures = dict[str, np.ndarray]


def draw_weight(seed: int, key: str, shape: tuple[int, ...], figures: Figures) -> np.ndarray:
    """A float32 weight; drawn in float64."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith(".project"):
        return np.arange(8, dtype=np.float32)
    if f"override.{key}" in figures:
        return figures[f"override.{key}"].astype(np.float32)
    drawn = rng(seed, key).standard_normal(shape)
    if key.endswith("bias"):
        value = 0.1 * drawn
    elif len(shape) < 2:
        value = 1 + 0.1 * drawn
    else:
        value = drawn * np.sqrt(2 / np.prod(shape[1:]))
    if key == "backbone.backbone.stem.conv.conv.weight":
        value = value * 0.01
    if f"gain.{key}" in figures:
        value = value * figures[f"gain.{key}"].reshape(-1, *[1] * (len(shape) - 1))
    return np.asarray(value, np.float32)  # a scale has no dimension


def draw_image(seed: int, key: str, height: int, width: int) -> Tensor:
    """(3, height, width) uint8 RGB; the rule makes it BGR, as OpenCV reads files."""
    cells = (-(-height // 20), -(-width // 20), 3)
    blocks = rng(seed, f"{key}_blocks").integers(0, 224, cells)
    blocks = blocks.repeat(20, 0).repeat(20, 1)[:height, :width]
    noise = rng(seed, f"{key}_noise").integers(0, 32, (height, width, 3))
    bgr = (blocks + noise).astype(np.uint8)
    return torch.from_numpy(bgr[..., ::-1].copy()).permute(2, 0, 1)


@dataclass(frozen=True)
class RivalGolden:
    """One file of figures."""

    model: str
    seed: int
    figures: Figures

    def load_weights(self, module: nn.Module) -> None:
        state = module.state_dict()
        drawn = {
            k: torch.from_numpy(draw_weight(self.seed, k, tuple(v.shape), self.figures))
            for k, v in state.items()
        }
        module.load_state_dict(drawn)

    def image(self, key: str, height: int, width: int) -> Tensor:
        return draw_image(self.seed, key, height, width)

    def check(self, name: str, value: Tensor, relative: float = 1e-3) -> None:
        """Sampled values within `relative` of the largest."""
        assert tuple(self.figures[f"{name}.shape"]) == tuple(value.shape), name
        picked = value.detach().reshape(-1)[torch.from_numpy(self.figures[f"{name}.index"])]
        stored = self.figures[f"{name}.value"]
        error = np.abs(picked.numpy() - stored).max()
        assert error <= relative * np.abs(stored).max(), (name, error)

    def check_number(self, name: str, value: float) -> None:
        """Within a thousandth, or ten times what rounding of the weights changes."""
        stored = float(self.figures[name])
        tolerance = max(1e-3, 10 * float(self.figures[f"noise.{name}"]))
        assert abs(value - stored) <= tolerance * abs(stored) + 1e-7, (name, value, stored)

    def targets(self) -> Targets:
        """Ground truth of the training figures, padded."""
        count = sum(key.startswith("gt_boxes.") for key in self.figures)
        boxes = [torch.from_numpy(self.figures[f"gt_boxes.{i}"]).float() for i in range(count)]
        labels = [torch.from_numpy(self.figures[f"gt_labels.{i}"]) for i in range(count)]
        return Targets(
            nn.utils.rnn.pad_sequence(boxes, batch_first=True),
            nn.utils.rnn.pad_sequence(labels, batch_first=True),
            torch.tensor([len(b) for b in boxes]),
        )


def read_rival(path: Path) -> RivalGolden:
    model, _, seed = path.stem.removeprefix("golden_").rpartition("_seed")
    with np.load(path) as arrays:
        return RivalGolden(model, int(seed), dict(arrays))
