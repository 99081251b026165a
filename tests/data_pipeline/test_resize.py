"""Bringing images to network size: equal to OpenCV, and consistent with the boxes."""

import cv2
import numpy as np
import pytest
import torch
from conftest import photo, real_set
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.annotations import read_annotations
from harness.data.dataset import read_entry
from harness.data.resize import (
    ShortestSideResize,
    SquashResize,
    collate_images,
    resize_bilinear,
)


def level_difference(pixels: np.ndarray, size: tuple[int, int]) -> int:
    """Largest difference to OpenCV's bilinear resize, in grey levels."""
    ours = resize_bilinear(torch.from_numpy(pixels).permute(2, 0, 1), size)
    theirs = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR)
    return int(abs(ours.permute(1, 2, 0).numpy().astype(int) - theirs).max())


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 9),
)
def test_equals_opencv_on_noise(h: int, w: int, size: tuple[int, int], seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    assert level_difference(noise, size) <= 1


@pytest.mark.parametrize("shape", [(480, 640), (200, 111), (1080, 1920), (320, 320)])
def test_equals_opencv_on_smooth_photos(shape: tuple[int, int]) -> None:
    assert level_difference(photo(*shape), (320, 320)) <= 1


@pytest.mark.shared
@pytest.mark.parametrize("name", ["bccd", "coco80", "coco_official"])
def test_equals_opencv_on_real_photos(name: str) -> None:
    split = real_set(name).split("val")
    for image in read_annotations(split.annotations).images[::40]:
        pixels = read_entry(split, image).permute(1, 2, 0).numpy()
        assert level_difference(pixels, (320, 320)) <= 1
        assert level_difference(pixels, (512, 512)) <= 1


def test_pixels_do_not_depend_on_memory_layout() -> None:
    image = torch.from_numpy(photo(90, 130)).permute(2, 0, 1)
    expected = resize_bilinear(image.contiguous(), (64, 64))
    assert torch.equal(resize_bilinear(image, (64, 64)), expected)
    window = image[:, 10:, 20:]
    expected = resize_bilinear(window.contiguous(), (64, 64))
    assert torch.equal(resize_bilinear(window, (64, 64)), expected)


def test_one_image_and_many_share_the_path() -> None:
    images = [torch.from_numpy(photo(50 + i, 70 - i, i)).permute(2, 0, 1) for i in range(5)]
    resize = SquashResize(64, 96)
    together = collate_images([resize(image) for image in images])
    for i, image in enumerate(images):
        alone = collate_images([resize(image)])
        assert torch.equal(alone.pixels[0], together.pixels[i])
        assert torch.equal(alone.scales[0], together.scales[i])
        assert alone.image_sizes[0].tolist() == [50 + i, 70 - i]


def test_shortest_side_pads_at_right_and_bottom() -> None:
    images = [torch.full((3, 40, 80), 9, dtype=torch.uint8), torch.full((3, 60, 60), 7).byte()]
    inputs = collate_images([ShortestSideResize(48, 80)(image) for image in images])
    assert inputs.sizes.tolist() == [[40, 80], [48, 48]]
    assert inputs.pixels.shape == (2, 3, 64, 96)
    assert (inputs.pixels[1, :, :48, :48] == 7).all()
    assert not inputs.pixels[1, :, 48:].any()
    assert not inputs.pixels[1, :, :, 48:].any()
    torch.testing.assert_close(inputs.scales[1], torch.tensor([0.8, 0.8]))
