"""Resizing gives OpenCV's pixels, bit for bit: the kernels and the reference that defines them."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from op_cases import SEEDS, random_image, with_threads

from harness.data.annotations import read_annotations
from harness.data.folder import CocoFolder
from harness.data.images import read_entry
from harness.ops import resize_bilinear
from harness.ops.resize import resize_bilinear_reference

OP = torch.ops.harness.resize_bilinear
BOTH = pytest.mark.parametrize("resize", [OP, resize_bilinear_reference], ids=["op", "reference"])
SIDES = st.one_of(st.integers(1, 9), st.integers(1, 90), st.integers(1, 700))


def opencv(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized).permute(2, 0, 1)


@BOTH
@settings(max_examples=150, deadline=None)
@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), SEEDS)
@example((480, 640), (320, 320), 0)
@example((640, 480), (320, 320), 0)
@example((1, 1), (5, 7), 0)
@example((1, 699), (33, 1), 0)
def test_equals_opencv(resize, old, new, seed):
    image = random_image(seed, *old)
    assert torch.equal(resize(image, *new, False), opencv(image, *new))


@BOTH
@settings(max_examples=60, deadline=None)
@given(st.tuples(SIDES, SIDES), st.sampled_from(["both", "rows", "columns"]), SIDES, SEEDS)
def test_equals_opencv_where_sides_are_halved(resize, new, halved, other, seed):
    """Only where both are, OpenCV takes the mean of four pixels."""
    height = other if halved == "columns" else 2 * new[0]
    width = other if halved == "rows" else 2 * new[1]
    image = random_image(seed, height, width)
    assert torch.equal(resize(image, *new, False), opencv(image, *new))


@BOTH
@settings(max_examples=60, deadline=None)
@given(st.tuples(SIDES, SIDES), st.sampled_from([0, 1]), SIDES, SEEDS)
def test_equals_opencv_where_one_side_stays(resize, old, axis, other, seed):
    new = (other, old[1]) if axis == 0 else (old[0], other)
    image = random_image(seed, *old)
    assert torch.equal(resize(image, *new, False), opencv(image, *new))


@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
def test_every_pair_of_small_sides(axis):
    """Up and down, odd and even; the other side is not a multiple of a vector's width."""
    for old in range(1, 72):
        image = random_image(old, *((old, 5) if axis == 0 else (5, old)))
        for new in range(1, 72):
            size = (new, 5) if axis == 0 else (5, new)
            assert torch.equal(OP(image, *size, False), opencv(image, *size)), (old, new)


@pytest.mark.parametrize("old", [479, 640, 1333, 4032, 8191])
def test_long_sides(old):
    """Places are float32: the longer the side, the coarser the weights."""
    for new in (1, 320, 511, 512, 800, 2016):
        for shape, size in (((old, 3), (new, 3)), ((3, old), (3, new))):
            image = random_image(old, *shape)
            assert torch.equal(OP(image, *size, False), opencv(image, *size)), (old, new)


@BOTH
@pytest.mark.parametrize("old", [(1, 1), (7, 9), (40, 64), (33, 16)])
def test_extreme_levels(resize, old):
    black_and_white = torch.where(random_image(0, *old) < 128, 0, 255).to(torch.uint8)
    for image in (black_and_white, torch.full_like(black_and_white, 255)):
        for new in ((20, 32), (5, 50), (66, 31)):
            assert torch.equal(resize(image, *new, False), opencv(image, *new))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", ["bccd", "coco80", "coco_official"])
def test_equals_opencv_on_real_photos(shared_data, name):
    split = CocoFolder(shared_data / name).split("val")
    for image in read_annotations(split.annotations).images[::25]:
        photo = read_entry(split.images, image)
        halved = (photo.shape[1] // 2, photo.shape[2] // 2)
        for size in ((320, 320), (512, 512), (321, 475), (1000, 1333), halved):
            assert torch.equal(OP(photo, *size, False), opencv(photo, *size))


def layouts(image: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "interleaved": image,
        "planar": image.contiguous(),
        "transposed": image.transpose(1, 2).contiguous().transpose(1, 2),
        "window": random_image(9, 60, 70)[:, 3:-2, 5:-1],
        "every second": random_image(9, 60, 70)[:, ::2, 1::2],
        "grey": image[:1].expand(3, -1, -1),
    }


@BOTH
@pytest.mark.parametrize("layout", layouts(random_image(0, 2, 2)))
@pytest.mark.parametrize("interleaved", [False, True])
def test_strides(resize, layout, interleaved):
    image = layouts(random_image(0, 50, 64))[layout]
    for size in ((32, 32), (25, 32), (70, 31)):
        found = resize(image, *size, interleaved)
        assert torch.equal(found, opencv(image, *size))
        width = size[1]
        steps = (1, 3 * width, 3) if interleaved else (size[0] * width, width, 1)
        assert found.stride() == steps


@BOTH
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_numbers_of_channels(resize, channels):
    image = random_image(0, 30, 40).repeat(2, 1, 1)[:channels]
    found = resize(image, 17, 90, False)
    for one, plane in zip(found, image, strict=True):
        assert torch.equal(one, opencv(plane.expand(3, -1, -1), 17, 90)[0])


def test_threads_do_not_change_the_result():
    image = random_image(0, 480, 640)
    first, *others = with_threads(lambda: resize_bilinear(image, (320, 320)))
    assert all(torch.equal(first, other) for other in others)


def test_compiles_whole():
    def half(image: torch.Tensor) -> torch.Tensor:
        return resize_bilinear(image, (image.shape[1] // 2, 50), interleaved=True)

    image = random_image(0, 50, 64)
    compiled = torch.compile(half, backend="aot_eager", fullgraph=True, dynamic=True)
    assert torch.equal(compiled(image), opencv(image, 25, 50))


@pytest.mark.parametrize(
    ("image", "size", "message"),
    [
        (torch.zeros(3, 4, 4), (2, 2), "must be"),
        (torch.zeros(1, 3, 4, 4).byte(), (2, 2), "must be"),
        (torch.zeros(3, 0, 4).byte(), (2, 2), "positive"),
        (torch.zeros(3, 4, 4).byte(), (0, 2), "positive"),
    ],
)
def test_what_does_not_fit_is_an_error(image, size, message):
    with pytest.raises(ValueError, match=message):
        resize_bilinear(image, size)
