"""Augmentation: exact flips, the paper's ranges, boxes that follow the pixels."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou

from harness.data import augment as module
from harness.data.augment import (
    Colours,
    Mode,
    Window,
    build_augment,
    draw_colours,
    draw_window,
    shift_colours,
)

HEIGHT, WIDTH = 60, 80
CANVAS = torch.tensor([124, 116, 104], dtype=torch.uint8)


def scene(boxes: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Black image in which box k is filled with grey level 100 + k."""
    image = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        image[:, y1:y2, x1:x2] = 100 + k
    return image, torch.tensor(boxes, dtype=torch.float32), torch.arange(len(boxes))


def seeded(mode: Mode, seed: int, boxes: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    return build_augment(mode)(*scene(boxes))


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


@pytest.fixture
def _colourless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's chain without its colours, so that grey levels name the boxes."""
    monkeypatch.setattr(module, "draw_colours", Colours)


@pytest.mark.usefixtures("_colourless")
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**32))
def test_boxes_follow_the_pixels_through_expansion_crop_and_flip(seed: int) -> None:
    torch.manual_seed(seed)
    image, boxes, labels = build_augment("paper")(*scene(BOXES))
    assert len(boxes) == len(labels) >= 1
    assert boxes.dtype == torch.float32
    for (x1, y1, x2, y2), label in zip(boxes.round().int().tolist(), labels.tolist(), strict=True):
        inside = image[0, y1:y2, x1:x2] == 100 + label
        assert inside.all()
        assert inside.sum() == (image[0] == 100 + label).sum()


@pytest.mark.usefixtures("_colourless")
def test_expansion_and_crop_keep_to_the_papers_ranges() -> None:
    ratios, aspects, expanded = [], [], 0
    for seed in range(300):
        torch.manual_seed(seed)
        image, _, _ = build_augment("paper")(*scene(BOXES))
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
        image, boxes, _ = build_augment("paper")(*scene(BOXES))
        lost += len(boxes) < 3
        height, width = image.shape[1:]
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height])).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    assert lost > 40


def test_colours_at_rest_change_nothing() -> None:
    image = torch.randint(0, 256, (3, 9, 9), dtype=torch.uint8)
    assert torch.equal(Colours()(image), image)
    assert torch.equal(Colours(hue=1e-12)(image), image)
    assert torch.equal(Colours(order=(2, 0, 1))(image), image[[2, 0, 1]])


def test_brightness_adds_and_contrast_scales() -> None:
    image = torch.tensor([0, 100, 250], dtype=torch.uint8).view(1, 1, 3).repeat(3, 1, 1)
    assert Colours(shift=20)(image)[0, 0].tolist() == [20, 120, 255]
    assert Colours(contrast=0.5)(image)[0, 0].tolist() == [0, 50, 125]
    assert Colours(shift=-20, contrast=1.5)(image)[0, 0].tolist() == [0, 120, 255]


def test_colours_keep_to_the_papers_ranges() -> None:
    torch.manual_seed(0)
    drawn = [draw_colours() for _ in range(2000)]
    for key, rest, low, high in [
        ("shift", 0.0, -32, 32),
        ("contrast", 1.0, 0.5, 1.5),
        ("saturation", 1.0, 0.5, 1.5),
        ("hue", 0.0, -18, 18),
    ]:
        values = [getattr(colours, key) for colours in drawn if getattr(colours, key) != rest]
        assert 900 < len(values) < 1100
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high >= max(values) > high - 0.05 * (high - low)
    assert 750 < sum(colours.order != (0, 1, 2) for colours in drawn) < 920
    assert 900 < sum(colours.contrast_first for colours in drawn) < 1100


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
    image = torch.randint(0, 256, (3, 211, 333), dtype=torch.uint8)
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        found.append(Colours(3.3, 1.17, True, 0.8, 7.7, (1, 0, 2))(image))
    assert torch.equal(*found)


def test_crops_reach_the_overlap_that_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    image, boxes, _ = scene(BOXES)
    for least in (0.1, 0.3, 0.5):
        monkeypatch.setattr(module, "OVERLAPS", (least,))
        for seed in range(30):
            torch.manual_seed(seed)
            monkeypatch.setattr(module, "_happens", lambda: False)
            window = draw_window(image, boxes)
            crop = [window.left, window.top, window.left + window.width, window.top + window.height]
            overlaps = box_iou(torch.tensor([crop]).float(), boxes)[0]
            assert overlaps[window.kept].max() >= least
            assert 0 <= crop[0] < crop[2] <= WIDTH
            assert 0 <= crop[1] < crop[3] <= HEIGHT


def test_a_crop_that_leaves_no_trainable_box_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    none = Window(0, 0, 20, 20, torch.zeros(1, dtype=torch.bool))
    monkeypatch.setattr(module, "draw_window", lambda *_: none)
    image, boxes, labels = build_augment("paper")(*scene([[5, 5, 30, 30]]))
    assert image.shape == (3, HEIGHT, WIDTH)
    assert labels.tolist() == [0]
    assert (boxes[:, 2] - boxes[:, 0]).tolist() == [25]


def test_the_canvas_has_the_mean_colour_whatever_the_photos_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    window = Window(-10, -20, HEIGHT + 15, WIDTH + 30, torch.ones(3, dtype=torch.bool))
    monkeypatch.setattr(module, "draw_window", lambda *_: window)
    monkeypatch.setattr(module, "draw_colours", lambda: Colours(shift=32.0))
    monkeypatch.setattr(module, "flip_half", lambda *sample: sample)
    image, boxes, _ = build_augment("paper", (1.0, 2.0, 3.4))(*scene(BOXES))
    outside = torch.ones(image.shape[1:], dtype=torch.bool)
    outside[10 : 10 + HEIGHT, 20 : 20 + WIDTH] = False
    assert (image[:, outside] == torch.tensor([[1], [2], [3]])).all()
    assert boxes.tolist() == [[x1 + 20, y1 + 10, x2 + 20, y2 + 10] for x1, y1, x2, y2 in BOXES]
    assert image[0, 10, 20] == 32
