"""Photometric distortion: the paper's ranges, HSV, and one batch at once as one by one."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from photo_sets import photo, real_set
from torch import Tensor

from harness.data.annotations import read_annotations
from harness.data.augment import IMAGENET_MEAN, cut, paper_augment
from harness.data.batch import Inputs
from harness.data.chain import build_chain
from harness.data.dataset import TrainDataset
from harness.data.photometric import (
    BatchDistortion,
    Distortion,
    UndistortedInputs,
    draw_distortion,
    shift_hue_and_saturation,
)
from harness.data.reading import ImageReader
from harness.data.resize import SquashResize, resize_bilinear
from harness.manifest.schema import Use


def test_no_distortion_changes_nothing() -> None:
    image = torch.randint(0, 256, (3, 9, 9), dtype=torch.uint8)
    assert torch.equal(Distortion()(image), image)
    assert torch.equal(Distortion(hue=1e-12)(image), image)
    assert torch.equal(Distortion(order=(2, 0, 1))(image), image[[2, 0, 1]])


def test_brightness_adds_and_contrast_scales() -> None:
    image = torch.tensor([0, 100, 250], dtype=torch.uint8).view(1, 1, 3).repeat(3, 1, 1)
    assert Distortion(shift=20)(image)[0, 0].tolist() == [20, 120, 255]
    assert Distortion(contrast=0.5)(image)[0, 0].tolist() == [0, 50, 125]
    assert Distortion(shift=-20, contrast=1.5)(image)[0, 0].tolist() == [0, 120, 255]


def test_distortions_keep_to_the_papers_ranges() -> None:
    torch.manual_seed(0)
    drawn = [draw_distortion() for _ in range(2000)]
    for key, rest, low, high in [
        ("shift", 0.0, -32, 32),
        ("contrast", 1.0, 0.5, 1.5),
        ("saturation", 1.0, 0.5, 1.5),
        ("hue", 0.0, -18, 18),
    ]:
        values = [
            getattr(distortion, key) for distortion in drawn if getattr(distortion, key) != rest
        ]
        assert 900 < len(values) < 1100
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high >= max(values) > high - 0.05 * (high - low)
    assert 750 < sum(distortion.order != (0, 1, 2) for distortion in drawn) < 920
    assert 900 < sum(distortion.contrast_first for distortion in drawn) < 1100


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 1.5), st.floats(-18, 18), st.integers(0, 99))
def test_hue_and_saturation_shift_as_in_hsv(saturation: float, hue: float, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 6, 6))
    pixels[:, 0, 0], pixels[:, 0, 1], pixels[:, 0, 2] = 0, 255, 70
    out = shift_hue_and_saturation(torch.from_numpy(pixels).float(), saturation, hue)
    for y, x in np.ndindex(6, 6):
        h, s, v = colorsys.rgb_to_hsv(*(pixels[:, y, x] / 255))
        expected = colorsys.hsv_to_rgb((h + hue / 360) % 1, min(1.0, s * saturation), v)
        np.testing.assert_allclose(out[:, y, x], np.array(expected) * 255, atol=0.02)


def test_distortions_do_not_depend_on_threads() -> None:
    image = torch.randint(0, 256, (3, 211, 333), dtype=torch.uint8)
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        found.append(Distortion(3.3, 1.17, True, 0.8, 7.7, (1, 0, 2))(image))
    assert torch.equal(*found)


@st.composite
def rectangles(draw: st.DrawFn, height: int, width: int) -> tuple[int, int, int, int]:
    x = sorted(draw(st.tuples(st.integers(0, width), st.integers(0, width))))
    y = sorted(draw(st.tuples(st.integers(0, height), st.integers(0, height))))
    return x[0], y[0], x[1], y[1]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(rectangles(20, 30), min_size=1, max_size=5))
def test_a_batch_at_once_is_as_one_by_one(
    seed: int, photos: list[tuple[int, int, int, int]]
) -> None:
    torch.manual_seed(seed)
    pixels = torch.randint(0, 256, (len(photos), 3, 20, 30), dtype=torch.uint8)
    draws = [draw_distortion() for _ in photos]
    kept = pixels.clone()
    found = BatchDistortion.of(draws, photos)(pixels)
    assert torch.equal(pixels, kept), "the loader's memory may be another process's too"
    for image, draw, rectangle, changed in zip(pixels, draws, photos, found, strict=True):
        assert torch.equal(draw.within(image, rectangle), changed)


def test_only_the_photo_is_distorted() -> None:
    pixels = torch.full((3, 8, 9), 100, dtype=torch.uint8)
    changed = Distortion(shift=20.0).within(pixels, (2, 1, 5, 7))
    assert (changed[:, 1:7, 2:5] == 120).all()
    assert (changed == 120).sum() == 3 * 6 * 3
    assert (pixels == 100).all()


def test_undistorted_inputs_move_and_pin_with_their_distortion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pinned: list[Tensor] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    pixels = torch.from_numpy(photo(8, 8)).permute(2, 0, 1)[None]
    distortion = BatchDistortion.of([Distortion(shift=9.0)], [(0, 0, 8, 8)])
    size = torch.tensor([[8, 8]])
    inputs = UndistortedInputs(pixels, size, torch.ones(1, 2), size, distortion)
    moved = inputs.pin_memory().to("cpu")
    assert len(pinned) == 7
    assert isinstance(moved, UndistortedInputs)
    done = moved.distorted()
    assert type(done) is Inputs
    assert torch.equal(done.pixels[0], Distortion(shift=9.0)(pixels[0]))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", ["bccd", "coco80"])
def test_distorting_after_resizing_stays_near_the_papers_order(name: str) -> None:
    """The paper distorts the photo, pastes it on the canvas, cuts, resizes and mirrors."""
    split, resize = real_set(name).split("train"), SquashResize(320, 320)
    annotations = read_annotations(split.annotations)
    reader = ImageReader(split, annotations.images, resize, whole=True, cache_gib=0)
    chain = build_chain((Use(use="paper"),), (64, 64), IMAGENET_MEAN)
    dataset = TrainDataset(reader, annotations, chain, 0)
    fill, means = torch.tensor([124, 116, 104], dtype=torch.uint8), []
    for index in dataset.indices[:40].tolist():
        entry, objects = annotations.images[index], annotations.trainable(index)
        boxes, labels = torch.from_numpy(objects.boxes).float(), torch.from_numpy(objects.labels)
        torch.manual_seed(index)
        view = paper_augment((entry.height, entry.width), boxes, labels)
        pixels = view.distortion(reader.photo(index))
        if view.window is not None:
            pixels = cut(pixels, view.window, fill)
        expected = resize_bilinear(pixels, (320, 320))
        expected = expected.flip(-1) if view.flip else expected
        found = dataset.render(index, view, (entry.height, entry.width), 0, fill).image.pixels
        means.append((found.int() - expected.int()).abs().float().mean().item())
    assert np.mean(means) < 0.4, means
    assert max(means) < 2.0, means
