"""Augmentation: exact flips, the paper's ranges, boxes that follow the pixels."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2
from torchvision.tv_tensors import Image

from harness.data.augment import PhotometricDistort, augment, build_augment, shift_colours

HEIGHT, WIDTH = 60, 80
CANVAS = torch.tensor([124, 116, 104], dtype=torch.uint8)


def scene(boxes: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Black image in which box k is filled with grey level 100 + k."""
    image = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        image[:, y1:y2, x1:x2] = 100 + k
    return image, torch.tensor(boxes, dtype=torch.float32), torch.arange(len(boxes))


def seeded(mode: str, seed: int, boxes: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    return augment(build_augment(mode), *scene(boxes))  # type: ignore[arg-type]


BOXES = [[5, 10, 25, 30], [40, 20, 70, 55], [60, 3, 68, 9]]


def test_none_changes_nothing() -> None:
    for given_, expected in zip(seeded("none", 0, BOXES), scene(BOXES), strict=True):
        assert torch.equal(given_, expected)


def test_flip_is_exact_and_happens_half_the_time() -> None:
    image, boxes, _ = scene(BOXES)
    flips = 0
    for seed in range(200):
        pixels, found, labels = seeded("flip", seed, BOXES)
        flipped = not torch.equal(pixels, image)
        flips += flipped
        mirrored = torch.stack(
            [WIDTH - boxes[:, 2], boxes[:, 1], WIDTH - boxes[:, 0], boxes[:, 3]], 1
        )
        assert torch.equal(pixels, image.flip(-1) if flipped else image)
        assert torch.equal(found, mirrored if flipped else boxes)
        assert labels.tolist() == [0, 1, 2]
    assert 70 < flips < 130


def geometry() -> v2.Transform:
    """The paper's chain without its colours, so that grey levels name the boxes."""
    chain = build_augment("paper")
    return v2.Compose([t for t in chain.transforms if not isinstance(t, PhotometricDistort)])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_boxes_follow_the_pixels_through_expansion_crop_and_flip(seed: int) -> None:
    torch.manual_seed(seed)
    image, boxes, labels = augment(geometry(), *scene(BOXES))
    assert len(boxes) == len(labels) >= 1
    assert boxes.dtype == torch.float32
    for (x1, y1, x2, y2), label in zip(boxes.round().int().tolist(), labels.tolist(), strict=True):
        inside = image[0, y1:y2, x1:x2] == 100 + label
        assert inside.all()
        assert inside.sum() == (image[0] == 100 + label).sum()


def test_expansion_and_crop_keep_to_the_papers_ranges() -> None:
    ratios, aspects, expanded = [], [], 0
    for seed in range(300):
        torch.manual_seed(seed)
        image, _, _ = augment(geometry(), *scene(BOXES))
        height, width = image.shape[1:]
        ratios += [height / HEIGHT, width / WIDTH]
        aspects.append((width / height) / (WIDTH / HEIGHT))
        expanded += bool((image == CANVAS[:, None, None]).all(0).any())
    assert 0.29 <= min(ratios) < 0.4
    assert 3 < max(ratios) <= 4
    assert min(aspects) < 0.7
    assert max(aspects) > 1.4
    assert 90 < expanded < 190


def test_crops_keep_boxes_whose_centre_is_inside() -> None:
    lost = 0
    for seed in range(200):
        torch.manual_seed(seed)
        image, boxes, _ = augment(build_augment("paper"), *scene(BOXES))
        lost += len(boxes) < 3
        height, width = image.shape[1:]
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height])).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    assert lost > 40


def test_photometric_distortion_at_rest_is_the_identity() -> None:
    image = Image(torch.randint(0, 256, (3, 9, 9), dtype=torch.uint8))
    still = {"shift": 0.0, "contrast": 1.0, "contrast_first": True, "saturation": 1.0, "hue": 0.0}
    out = PhotometricDistort().transform(image, {**still, "order": None})
    assert torch.equal(out, image)
    swapped = PhotometricDistort().transform(image, {**still, "order": torch.tensor([2, 0, 1])})
    assert torch.equal(swapped, image[[2, 0, 1]])


def test_photometric_parameters_keep_to_the_papers_ranges() -> None:
    torch.manual_seed(0)
    drawn = [PhotometricDistort().make_params([]) for _ in range(2000)]
    for key, rest, low, high in [
        ("shift", 0.0, -32, 32),
        ("contrast", 1.0, 0.5, 1.5),
        ("saturation", 1.0, 0.5, 1.5),
        ("hue", 0.0, -18, 18),
    ]:
        values = [params[key] for params in drawn if params[key] != rest]
        assert 900 < len(values) < 1100
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high >= max(values) > high - 0.05 * (high - low)
    assert 900 < sum(params["order"] is not None for params in drawn) < 1100


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 1.5), st.floats(-18, 18), st.integers(0, 99))
def test_colours_shift_as_in_hsv(saturation: float, hue: float, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 6, 6))
    pixels[:, 0, 0], pixels[:, 0, 1], pixels[:, 0, 2] = 0, 255, 70
    out = shift_colours(torch.from_numpy(pixels).float(), saturation, hue)
    for y, x in np.ndindex(6, 6):
        h, s, v = colorsys.rgb_to_hsv(*(pixels[:, y, x] / 255))
        expected = colorsys.hsv_to_rgb((h + hue / 360) % 1, min(1.0, s * saturation), v)
        np.testing.assert_allclose(out[:, y, x], np.array(expected) * 255, atol=0.02)


def test_colours_do_not_depend_on_threads() -> None:
    image = Image(torch.randint(0, 256, (3, 211, 333), dtype=torch.uint8))
    found = []
    threads = torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        torch.manual_seed(3)
        found.append(PhotometricDistort()(image))
    torch.set_num_threads(threads)
    assert torch.equal(*found)


@pytest.mark.parametrize("mode", ["flip", "paper"])
def test_a_chain_that_loses_every_box_gives_the_image_as_it_came(mode: str) -> None:
    image, boxes, labels = scene([[5, 5, 6, 6]])
    drop = v2.Lambda(lambda value: value[:0] if value.dtype != torch.uint8 else value)
    chain = v2.Compose([build_augment(mode), drop])  # type: ignore[arg-type]
    found = augment(chain, image, boxes, labels)
    assert torch.equal(found[0], image)
    assert torch.equal(found[1], boxes)
