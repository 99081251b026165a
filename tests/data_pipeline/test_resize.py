"""Bringing images to network size: equal to OpenCV, and consistent with the boxes."""

import multiprocessing

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from photo_sets import photo, real_set
from torch import Tensor

from harness.data import resize
from harness.data.annotations import read_annotations
from harness.data.images import read_entry
from harness.data.resize import (
    CornerSquashResize,
    ShortestSideResize,
    SquashResize,
    collate_images,
    resize_bilinear,
    resize_from_corner,
)


def as_opencv(image: Tensor, size: tuple[int, int]) -> Tensor:
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    resized = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized).permute(2, 0, 1)


def as_image(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)


def layouts(image: Tensor) -> dict[str, Tensor]:
    """The same image, or parts of it, in every memory format that this package makes."""
    return {
        "interleaved": image,
        "planar": image.contiguous(),
        "window": image[:, 3:, 5:-2],
        "planar window": image.contiguous()[:, 3:, 5:-2],
        "flipped": image.flip(-1),
        "turned": image.transpose(1, 2),
        "turned and flipped": image.transpose(1, 2).flip(-2),
        "every second": image[:, ::2, ::3],
        "channels turned": image.flip(0),
        "grey": image[:1].expand(3, -1, -1),
        "a column": image[:, :, :1],
        "a row": image[:, :1],
    }


@pytest.mark.parametrize("layout", layouts(as_image(photo(9, 9))))
@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(5, 90), st.integers(8, 90)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 9),
)
def test_equals_opencv_in_every_layout(
    layout: str, old: tuple[int, int], new: tuple[int, int], seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (*old, 3), dtype=np.uint8)
    image = layouts(as_image(noise))[layout]
    before = image.clone()
    assert torch.equal(resize_bilinear(image, new), as_opencv(image, new))
    assert torch.equal(image, before)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["bccd", "coco80", "coco_official"])
def test_equals_opencv_on_real_photos(name: str) -> None:
    split = real_set(name).split("val")
    for image in read_annotations(split.annotations).images[::40]:
        pixels = read_entry(split.images, image)
        for size in ((320, 320), (512, 512)):
            assert torch.equal(resize_bilinear(pixels, size), as_opencv(pixels, size))


def from_corner(image: Tensor, size: tuple[int, int]) -> Tensor:
    """In whole numbers up to the last division, not rounded; black beyond the image."""
    pixels = np.pad(image.permute(1, 2, 0).numpy().astype(np.int64), ((0, 1), (0, 1), (0, 0)))
    for axis, (old, new) in enumerate(zip(image.shape[1:], size, strict=True)):
        first, share = np.divmod(np.arange(new) * old, new)
        share = np.expand_dims(share, tuple({0, 1, 2} - {axis}))
        low, high = pixels.take(first, axis), pixels.take(first + 1, axis)
        pixels = low * (new - share) + high * share
    return as_image(pixels / (size[0] * size[1]))


@pytest.mark.parametrize("exact_warp", [True, False])
@pytest.mark.parametrize("layout", layouts(as_image(photo(9, 9))))
@settings(max_examples=8, deadline=None)
@given(
    st.tuples(st.integers(5, 90), st.integers(8, 90)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 9),
)
@example((82, 46), (71, 75), 4)
def test_from_the_corner_in_every_layout(
    layout: str, exact_warp: bool, old: tuple[int, int], new: tuple[int, int], seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (*old, 3), dtype=np.uint8)
    image = layouts(as_image(noise))[layout]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resize, "WARPS_EXACTLY", exact_warp and resize.WARPS_EXACTLY)
        found = resize_from_corner(image, new)
    assert found.dtype == torch.uint8
    # a source position in float32 is off by half of its last digit, times 255 levels a pixel
    slack = 1e-3 + 2 * 255 * max(old) * 2.0**-24
    assert (found - from_corner(image, new)).abs().max() <= 0.5 + slack


def test_the_description_of_a_resize_tells_how_it_samples() -> None:
    ordinary, corner = SquashResize(32, 48), CornerSquashResize(32, 48)
    assert ordinary.describe().items() < corner.describe().items()
    image = as_image(photo(40, 50))
    assert corner(image).scale == ordinary(image).scale == (32 / 40, 48 / 50)
    assert torch.equal(corner(image).pixels, resize_from_corner(image, (32, 48)))
    assert not torch.equal(corner(image).pixels, ordinary(image).pixels)


def test_an_image_of_the_right_size_stays_as_it_is() -> None:
    for image in layouts(as_image(photo(40, 50))).values():
        assert resize_bilinear(image, tuple(image.shape[1:])) is image


def test_a_decoded_photo_is_read_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, or a window of it; and what comes back is not copied either."""
    read, made = [], []

    def resize(array: np.ndarray, *size: object, **how: object) -> np.ndarray:
        read.append(array)
        made.append(opencvs(array, *size, **how))
        return made[-1]

    opencvs = cv2.resize
    monkeypatch.setattr(cv2, "resize", resize)
    image = as_image(photo(60, 80))
    for shown in (image, image[:, 10:, 20:]):
        found = resize_bilinear(shown, (32, 32))
        assert np.shares_memory(read[-1], image.numpy())
        assert np.shares_memory(made[-1], found.numpy())


def resize_large() -> None:
    assert cv2.getNumThreads() == 1
    resize_bilinear(as_image(photo(900, 1200)), (800, 1000))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_resize_after_their_parent_has(method: str) -> None:
    resize_large()
    worker = multiprocessing.get_context(method).Process(target=resize_large)
    worker.start()
    worker.join(300)
    try:
        assert worker.exitcode == 0
    finally:
        worker.kill()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_makes_the_same_batch_without_a_stop() -> None:
    images, resize = [as_image(photo(480, 640)), as_image(photo(333, 500))], SquashResize(320, 320)
    expected = collate_images([resize(image) for image in images])
    on_gpu = [image.cuda() for image in images]
    collate_images([resize(image) for image in on_gpu])  # sizes are copied once
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = collate_images([resize(image) for image in on_gpu])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for name, tensor in vars(found).items():
        assert torch.equal(tensor.cpu(), getattr(expected, name))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_photo_on_a_gpu_is_resized_into_its_batch() -> None:
    resized = SquashResize(320, 320)(as_image(photo(480, 640)).cuda())
    assert collate_images([resized]).pixels.data_ptr() == resized.pixels.data_ptr()


def test_a_batch_of_one_is_its_image_where_that_fits() -> None:
    image = as_image(photo(64, 64)).contiguous()
    assert collate_images([SquashResize(64, 64)(image)]).pixels.data_ptr() == image.data_ptr()
    for other in (image[:, :40, :], as_image(photo(64, 64))):
        (pixels,) = collate_images([SquashResize(*other.shape[1:])(other)]).pixels
        assert pixels.is_contiguous()
        assert torch.equal(pixels[:, : other.shape[1]], other)


def test_one_image_and_many_share_the_path() -> None:
    images = [as_image(photo(50 + i, 70 - i, i)) for i in range(5)]
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
