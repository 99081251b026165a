"""Bringing images to network size: equal to OpenCV, and consistent with the boxes."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from photo_sets import photo, real_set
from torch import Tensor

from harness.data.annotations import read_annotations
from harness.data.reading import read_entry
from harness.data.resize import (
    ShortestSideResize,
    SquashResize,
    collate_images,
    resize_bilinear,
    resize_bytes,
    resize_floats,
)

Resizer = Callable[[Tensor, tuple[int, int]], Tensor]
DEVICES = pytest.mark.parametrize("resize", [resize_bytes, resize_floats])


def level_differences(pixels: np.ndarray, size: tuple[int, int], resize: Resizer) -> np.ndarray:
    """Differences to OpenCV's bilinear resize, in grey levels."""
    ours = resize(torch.from_numpy(pixels).permute(2, 0, 1), size)
    theirs = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR)
    return abs(ours.permute(1, 2, 0).numpy().astype(int) - theirs)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 9),
)
def test_equals_opencv_on_noise(h: int, w: int, size: tuple[int, int], seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    for resize in (resize_bytes, resize_floats):
        assert level_differences(noise, size, resize).max() <= 1


@DEVICES
@pytest.mark.parametrize("shape", [(480, 640), (200, 111), (1080, 1920), (320, 320)])
def test_equals_opencv_on_smooth_photos(shape: tuple[int, int], resize: Resizer) -> None:
    assert level_differences(photo(*shape), (320, 320), resize).max() <= 1


@DEVICES
@pytest.mark.shared
@pytest.mark.parametrize("name", ["bccd", "coco80", "coco_official"])
def test_equals_opencv_on_real_photos(name: str, resize: Resizer) -> None:
    split = real_set(name).split("val")
    for image in read_annotations(split.annotations).images[::40]:
        pixels = read_entry(split, image).permute(1, 2, 0).numpy()
        for size in ((320, 320), (512, 512)):
            differences = level_differences(pixels, size, resize)
            assert differences.max() <= 1
            assert differences.mean() < 0.5


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_resizes_within_a_level_and_without_a_stop() -> None:
    image = torch.from_numpy(photo(480, 640)).permute(2, 0, 1)
    on_gpu = image.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = resize_bilinear(on_gpu, (320, 320))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = resize_bilinear(image, (320, 320)).int()
    assert (found.cpu().int() - expected).abs().max() <= 1


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
