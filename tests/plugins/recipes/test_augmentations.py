"""Shipped augmentations: boxes follow the pixels, and odd samples have a defined result."""

from typing import Any

import pytest
import torch
from torch import Tensor

from harness.data.chain import Chain, Sample, build_chain, make_sample
from harness.manifest.schema import Train

SIZE = (96, 96)
GREY = 114
MEAN = (124.0, 116.0, 104.0)
EVERY = [
    "none", "flip", "paper", "hsv", "photometric", "multi_scale", "random_affine", "mosaic",
    "mixup",
]  # fmt: skip


def chain(*augment: Any) -> Chain:
    return build_chain(Train(augment=augment).augment, SIZE, MEAN)


def use(name: str, **params: Any) -> dict[str, Any]:
    return {"use": name, "params": params}


def scene(height: int = 60, width: int = 80) -> Sample:
    """White boxes in a black image, far from one another."""
    boxes = torch.tensor([[8, 10, 26, 30], [44, 20, 70, 50]])
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    for x1, y1, x2, y2 in boxes.tolist():
        image[:, y1:y2, x1:x2] = 255
    return make_sample(image, boxes.float(), torch.tensor([0, 1]))


def empty(height: int = 60, width: int = 80) -> Sample:
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    return make_sample(image, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def apply(made: Chain, seed: int, sample: Sample, **more: Any) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    image, target = made(sample, scene, **more)
    return image.as_subclass(Tensor), target["boxes"].as_subclass(Tensor), target["labels"]


@pytest.mark.parametrize(
    "augment",
    [
        [use("random_affine", scale=[0.6, 1.4], stretch=[0.8, 1.2], translate=0.2)],
        [use("random_affine", degrees=20, shear=5, scale=[0.5, 0.7])],
        ["multi_scale"],
        [use("mosaic", degrees=0, shear=0)],
        ["mosaic"],
        [use("mosaic", scale=[0.5, 0.5], translate=0, degrees=0, shear=0)],
        ["flip", "multi_scale", "flip"],
    ],
    ids=str,
)
def test_boxes_are_where_the_white_pixels_are(augment: list[Any]) -> None:
    made, seen = chain(*augment), 0
    for seed in range(40):
        image, boxes, labels = apply(made, seed, scene())
        assert image.dtype == torch.uint8
        assert len(boxes) == len(labels)
        bright = image.amax(0) > 200
        covered = torch.zeros_like(bright)
        turned = "'degrees': 20" in str(augment) or augment == ["mosaic"]
        for x1, y1, x2, y2 in boxes.tolist():
            covered[max(0, int(y1) - 1) : int(y2) + 2, max(0, int(x1) - 1) : int(x2) + 2] = True
            if not turned and x2 - x1 > 4 and y2 - y1 > 4:
                inside = image.amax(0)[round(y1) + 1 : round(y2) - 1, round(x1) + 1 : round(x2) - 1]
                assert (inside > 128).float().mean() > 0.95
            seen += 1
        assert not (bright & ~covered).any()
    assert seen > 40


def test_an_affine_map_that_does_nothing_changes_nothing() -> None:
    image, boxes, labels = scene()[0], scene()[1]["boxes"], scene()[1]["labels"]
    for name in ("random_affine", "multi_scale"):
        params = {"scale": [1, 1]} | ({"translate": 0} if name == "random_affine" else {})
        found = apply(chain(use(name, **params)), 0, scene())
        for one, other in zip(found, (image, boxes, labels), strict=True):
            torch.testing.assert_close(one, other.as_subclass(Tensor))


def test_a_mosaic_at_half_the_scale_shows_four_whole_images() -> None:
    """Each box is of one of them, at its place, with the colour of its label."""
    made = chain(use("mosaic", degrees=0, shear=0, translate=0, scale=[0.5, 0.5]))
    image, boxes, labels = apply(made, 3, scene())
    assert image.shape == (3, *SIZE)
    assert labels.tolist() == [0, 1] * 4
    whole = (boxes[:, 2:] - boxes[:, :2]).prod(1) > 0
    assert 4 <= whole.sum() <= 8
    assert (image == GREY).all(0).any()  # around the tiles
    again = apply(made, 3, scene())
    assert torch.equal(image, again[0])


@pytest.mark.parametrize("name", EVERY)
def test_images_without_boxes_stay_without(name: str) -> None:
    made = chain(name)
    for seed in range(10):
        torch.manual_seed(seed)
        image, target = made(empty(), empty)
        assert image.dtype == torch.uint8
        assert target["boxes"].shape == (0, 4)
        assert target["labels"].shape == (0,)


@pytest.mark.parametrize("name", EVERY)
def test_the_same_seed_gives_the_same_and_the_input_stays_as_it_was(name: str) -> None:
    made, sample = chain(name), scene()
    before = sample[0].clone(), sample[1]["boxes"].clone()
    one, other = apply(made, 7, sample), apply(made, 7, sample)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(sample[0], before[0])
    assert torch.equal(sample[1]["boxes"], before[1])


def test_mixup_is_a_mean_with_the_boxes_of_both() -> None:
    light = make_sample(torch.full((3, 60, 80), 200, dtype=torch.uint8), *scene_boxes())
    image, boxes, labels = apply(chain(use("mixup", scale=[1, 1], weight=0.25)), 0, light)
    other = scene()[0].as_subclass(Tensor)
    assert torch.equal(image, (0.25 * 200 + 0.75 * other.float()).round().to(torch.uint8))
    assert labels.tolist() == [0, 1, 0, 1]
    assert torch.equal(boxes, scene_boxes()[0].repeat(2, 1))


def scene_boxes() -> tuple[Tensor, Tensor]:
    return scene()[1]["boxes"].as_subclass(Tensor), scene()[1]["labels"]


def test_the_last_phase_has_no_samples_of_several_images() -> None:
    made = chain("mosaic", "flip", "mixup")
    assert made.images == 8
    flipped = 0
    for seed in range(20):
        image, boxes, _ = apply(made, seed, scene(), closing=True)
        assert len(boxes) == 2
        original = scene()[0].as_subclass(Tensor)
        flipped += not torch.equal(image, original)
        assert torch.equal(image, original) or torch.equal(image, original.flip(-1))
    assert 0 < flipped < 20


def test_colours_move_as_far_as_told() -> None:
    colour = torch.tensor([200, 120, 60], dtype=torch.uint8)[:, None, None].expand(3, 8, 8)
    sample = make_sample(colour.contiguous(), *scene_boxes())
    still, moved = chain(use("hsv", hue=0, saturation=0, value=0)), chain(use("hsv", value=30))
    found = apply(still, 0, sample)[0]
    assert (found.int() - colour.int()).abs().max() <= 2  # to HSV in bytes and back
    values = {int(apply(moved, seed, sample)[0].max()) for seed in range(60)}
    assert len(values) > 10
    assert 168 <= min(values) < 190 < 210 < max(values) <= 231
    brighter = chain(use("photometric", shift=20, contrast=[1, 1], saturation=[1, 1], hue=0))
    shifts = [apply(brighter, seed, sample)[0].int() - colour.int() for seed in range(30)]
    assert all(len(shift.unique()) == 1 and abs(int(shift[0, 0, 0])) <= 20 for shift in shifts)
    assert 5 < sum(bool(shift.any()) for shift in shifts) < 25
