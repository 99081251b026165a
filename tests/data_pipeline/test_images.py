"""Image files of every kind come out as RGB; broken ones are named."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from photo_sets import photo
from PIL import Image, ImageOps

from harness.data import images
from harness.data.images import read_image
from harness.errors import UserError

SIZE = (40, 60)


def as_array(path: Path, size: tuple[int, int] | None = SIZE) -> np.ndarray:
    pixels = read_image(path, size)
    assert pixels.dtype == torch.uint8
    return pixels.permute(1, 2, 0).numpy()


def save(tmp_path: Path, image: Image.Image, name: str, **options: object) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_plain_jpeg_equals_pillow_exactly(tmp_path: Path) -> None:
    path = save(tmp_path, Image.fromarray(photo(*SIZE)), "a.jpg")
    np.testing.assert_array_equal(as_array(path), np.array(Image.open(path)))


def test_progressive_and_subsampled_jpeg(tmp_path: Path) -> None:
    for k, options in enumerate([{"progressive": True}, {"subsampling": 0}, {"subsampling": 2}]):
        path = save(tmp_path, Image.fromarray(photo(*SIZE)), f"{k}.jpg", **options)
        np.testing.assert_array_equal(as_array(path), np.array(Image.open(path)))


@pytest.mark.parametrize("name", ["g.jpg", "g.png"])
def test_greyscale_has_three_equal_channels(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, Image.fromarray(photo(*SIZE)).convert("L"), name)
    pixels = as_array(path)
    np.testing.assert_array_equal(pixels[..., 0], np.array(Image.open(path)))
    assert (pixels == pixels[..., :1]).all()


def test_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    rgb = photo(*SIZE)
    path = save(tmp_path, Image.fromarray(rgb).convert("CMYK"), "c.jpg", quality=98)
    assert abs(as_array(path).astype(int) - rgb).mean() < 4


def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path) -> None:
    wide = np.linspace(0, 65535, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16)
    path = save(tmp_path, Image.fromarray(wide), "w.png")
    with Image.open(path) as image:
        assert image.mode.startswith("I;16")
    np.testing.assert_array_equal(as_array(path)[..., 1], wide >> 8)


def test_thirty_two_bit_integers_are_read_as_sixteen(tmp_path: Path) -> None:
    wide = np.full(SIZE, 300 << 8, np.int32)
    wide[0, 0] = -5
    path = save(tmp_path, Image.fromarray(wide), "i.tiff")
    pixels = as_array(path)
    assert (pixels[0, 0].tolist(), pixels[1, 1].tolist()) == ([0, 0, 0], [255, 255, 255])


@pytest.mark.parametrize("mode", ["P", "PA", "LA", "RGBA", "1"])
def test_palette_alpha_and_bitmap(tmp_path: Path, mode: str) -> None:
    source = Image.fromarray(photo(*SIZE))
    image = source.convert("P").convert("PA") if mode == "PA" else source.convert(mode)
    name = "x.tiff" if mode == "PA" else "x.png"
    if mode == "PA":
        image = image.convert("RGBA")
    path = save(tmp_path, image, name)
    expected = np.array(Image.open(path).convert("RGBA").convert("RGB"))
    np.testing.assert_array_equal(as_array(path), expected)


def test_palette_with_transparency_and_gif(tmp_path: Path) -> None:
    image = Image.fromarray(photo(*SIZE)).convert("P")
    expected = np.array(image.convert("RGB"))
    for name in ("t.png", "t.gif"):
        path = save(tmp_path, image, name, transparency=3)
        np.testing.assert_array_equal(as_array(path), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["e.jpg", "e.png"])
def test_exif_orientation_follows_the_annotated_size(
    tmp_path: Path, orientation: int, name: str
) -> None:
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    path = save(tmp_path, Image.fromarray(photo(*SIZE)), name, exif=exif)
    stored = np.array(Image.open(path))
    upright = np.array(ImageOps.exif_transpose(Image.open(path)))
    as_annotated = stored if orientation >= 5 else upright
    np.testing.assert_array_equal(as_array(path, SIZE), as_annotated)
    np.testing.assert_array_equal(as_array(path, None), upright)
    if orientation >= 5:
        np.testing.assert_array_equal(as_array(path, SIZE[::-1]), upright)
    else:
        with pytest.raises(UserError, match="is 60x40, but annotated as 40x60"):
            read_image(path, SIZE[::-1])


def test_a_size_that_fits_neither_way(tmp_path: Path) -> None:
    path = save(tmp_path, Image.fromarray(photo(*SIZE)), "a.jpg")
    with pytest.raises(UserError, match=r"is 60x40, but annotated as 61x40 \(needs"):
        read_image(path, (40, 61))


def test_broken_exif_is_no_reason_to_stop(tmp_path: Path) -> None:
    path = save(tmp_path, Image.fromarray(photo(*SIZE)), "a.jpg", exif=b"Exif\0\0garbage" * 3)
    assert as_array(path, None).shape == (*SIZE, 3)


def broken_files(folder: Path) -> dict[str, Path]:
    jpeg = save(folder, Image.fromarray(photo(200, 300)), "good.jpg").read_bytes()
    png = save(folder, Image.fromarray(photo(200, 300)), "good.png").read_bytes()
    contents = {
        "half.jpg": jpeg[: len(jpeg) // 2],
        "nearly.jpg": jpeg[:-30],
        "half.png": png[: len(png) // 2],
        "head.jpg": jpeg[:20],
        "text.jpg": b"this is a text\n" * 20,
        "zeros.jpg": bytes(1000),
        "empty.jpg": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def test_each_broken_file_is_one_line_with_its_name(tmp_path: Path) -> None:
    for path in [*broken_files(tmp_path).values(), tmp_path / "absent.jpg", tmp_path]:
        for size in (None, (200, 300)):
            with pytest.raises(UserError) as caught:
                read_image(path, size)
            assert str(caught.value).startswith(f"{path}: ")
            assert len(str(caught.value).splitlines()) == 1


def test_floating_point_pixels_are_an_error(tmp_path: Path) -> None:
    path = save(tmp_path, Image.fromarray(np.zeros(SIZE, np.float32)), "f.tiff")
    with pytest.raises(UserError, match="floating-point"):
        read_image(path)


def test_a_bomb_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, Image.new("1", (10_000, 10_000)), "bomb.png")
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    for size in (None, (10_000, 10_000)):
        with (
            pytest.warns(Image.DecompressionBombWarning),
            pytest.raises(UserError, match="10000x10000"),
        ):
            read_image(path, size)


def test_a_header_that_promises_far_more_than_pillow_allows(tmp_path: Path) -> None:
    path = save(tmp_path, Image.new("1", (8, 8)), "huge.png")
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(UserError, match="exceeds limit"):
        read_image(path)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_square_image_is_turned_as_labelling_tools_show_it(
    tmp_path: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    path = save(tmp_path, Image.fromarray(photo(40, 40)), "s.png", exif=exif)
    upright = np.array(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(as_array(path, (40, 40)), upright)
    np.testing.assert_array_equal(as_array(path, None), upright)
