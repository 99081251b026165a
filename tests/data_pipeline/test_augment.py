"""Geometry of the augmentation: exact flips, the paper's ranges, boxes that follow the pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou

from harness.data import augment as module
from harness.data.augment import View, Window, cut, draw_window, flip, none, paper
from harness.data.chain import make_sample

HEIGHT, WIDTH = 60, 80
AUGMENTS = {"none": none(), "flip": flip(), "paper": paper((123.675, 116.28, 103.53))}
CANVAS = torch.tensor([124, 116, 104], dtype=torch.uint8)


def scene(boxes: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Black image in which box k is filled with grey level 100 + k."""
    image = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        image[:, y1:y2, x1:x2] = 100 + k
    return image, torch.tensor(boxes, dtype=torch.float32), torch.arange(len(boxes))


def seeded(mode: str, seed: int, boxes: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """What is seen of the scene, at its own size."""
    torch.manual_seed(seed)
    image, corners, labels = scene(boxes)
    view = AUGMENTS[mode].draw((HEIGHT, WIDTH), corners, labels)
    return pixels_of(view, image), view.boxes, view.labels


def pixels_of(view: View, image: Tensor) -> Tensor:
    seen = image if view.window is None else cut(image, view.window, CANVAS)
    return seen.flip(-1) if view.flip else seen


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


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_boxes_follow_the_pixels_through_expansion_crop_and_flip(seed: int) -> None:
    image, boxes, labels = seeded("paper", seed, BOXES)
    assert len(boxes) == len(labels) >= 1
    assert boxes.dtype == torch.float32
    for (x1, y1, x2, y2), label in zip(boxes.round().int().tolist(), labels.tolist(), strict=True):
        inside = image[0, y1:y2, x1:x2] == 100 + label
        assert inside.all()
        assert inside.sum() == (image[0] == 100 + label).sum()


def test_expansion_and_crop_keep_to_the_papers_ranges() -> None:
    ratios, aspects, expanded = [], [], 0
    for seed in range(300):
        image, _, _ = seeded("paper", seed, BOXES)
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
        image, boxes, _ = seeded("paper", seed, BOXES)
        lost += len(boxes) < 3
        height, width = image.shape[1:]
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height])).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    assert lost > 40


def test_crops_reach_the_overlap_that_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    _, boxes, _ = scene(BOXES)
    for least in (0.1, 0.3, 0.5):
        monkeypatch.setattr(module, "OVERLAPS", (least,))
        for seed in range(30):
            torch.manual_seed(seed)
            monkeypatch.setattr(module, "bernoulli", lambda: False)
            window = draw_window((HEIGHT, WIDTH), boxes)
            crop = [window.left, window.top, window.left + window.width, window.top + window.height]
            overlaps = box_iou(torch.tensor([crop]).float(), boxes)[0]
            assert overlaps[window.kept].max() >= least
            assert 0 <= crop[0] < crop[2] <= WIDTH
            assert 0 <= crop[1] < crop[3] <= HEIGHT


def test_a_crop_that_leaves_no_trainable_box_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    none = Window(0, 0, 20, 20, torch.zeros(1, dtype=torch.bool))
    monkeypatch.setattr(module, "draw_window", lambda *_: none)
    image, boxes, labels = seeded("paper", 0, [[5, 5, 30, 30]])
    assert image.shape == (3, HEIGHT, WIDTH)
    assert labels.tolist() == [0]
    assert (boxes[:, 2] - boxes[:, 0]).tolist() == [25]


def test_a_sample_whose_pixels_are_there_is_changed_as_its_view_says() -> None:
    image, boxes, labels = scene(BOXES)
    windows = 0
    for seed in range(30):
        torch.manual_seed(seed)
        pixels, target = AUGMENTS["paper"](*make_sample(image, boxes, labels))
        torch.manual_seed(seed)
        view = AUGMENTS["paper"].draw((HEIGHT, WIDTH), boxes, labels)
        seen, photo = image, torch.ones_like(image)
        if view.window is not None:
            windows += 1
            seen, photo = cut(image, view.window, CANVAS), cut(photo, view.window, CANVAS * 0)
        expected = torch.where(photo.bool(), view.distortion(seen), seen)
        assert torch.equal(pixels, expected.flip(-1) if view.flip else expected)
        assert torch.equal(target["boxes"], view.boxes)
        assert torch.equal(target["labels"], view.labels)
    assert windows > 10
