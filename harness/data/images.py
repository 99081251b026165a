"""Image files of every kind as uint8 RGB tensors."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from harness.data.annotations import ImageEntry
from harness.data.faults import DataError
from harness.data.splits import ORIENTATION
from harness.errors import UserError

MAX_PIXELS = 89_000_000  # a header may promise a size that fills any memory


def read_image(path: Path, size: tuple[int, int] | None = None) -> Tensor:
    """Read a file as (3, h, w) uint8 RGB.

    Greyscale, CMYK, 16-bit, palette and transparent images become RGB: 16 bits keep their upper
    8, transparency is dropped, and of an animation the first frame counts.

    Args:
        path: any format that Pillow reads.
        size: annotated (height, width), which says how an EXIF rotation is meant: pixels stay
            as stored where only that size fits. Otherwise (no size, or one that fits both ways:
            square images, orientations 2 to 4) they are turned upright, as labelling tools and
            OpenCV show them.

    Raises:
        UserError: missing, empty, truncated or not an image; too large; or of a size that fits
            neither way.
    """
    data = _read_bytes(path)
    try:
        with Image.open(BytesIO(data)) as image:
            orientation = _orientation(path, image, size)
            return turn_upright(_decode(image), orientation)
    except UserError:
        raise
    except Exception as error:  # decoders raise anything on a broken file
        found = "is not an image" if isinstance(error, UnidentifiedImageError) else "is broken"
        found = found if "no image" in found else f"{found}: {_one_line(error)}"
        hint = "needs a whole image file"
        raise DataError("unreadable_image", found, where=path, hint=hint) from error


def read_entry(folder: Path, image: ImageEntry) -> Tensor:
    """`read_image` of an annotated image."""
    return read_image(folder / image.file_name, (image.height, image.width))


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        found, hint = f"cannot be read: {error.strerror}", "needs an image file"
        raise DataError("unreadable_image", found, where=path, hint=hint) from error
    if not data:
        raise DataError("unreadable_image", "is empty", where=path, hint="needs an image file")
    return data


def _one_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:100]


def _orientation(path: Path, image: Image.Image, size: tuple[int, int] | None) -> int:
    """EXIF orientation to undo, 1 for none; also saves decoding images that will be refused."""
    stored = (image.height, image.width)
    if stored[0] * stored[1] > MAX_PIXELS:
        found, hint = f"has {stored[1]}x{stored[0]} pixels", f"{MAX_PIXELS // 10**6} million"
        raise DataError("unreadable_image", found, where=path, hint=f"needs at most {hint}")
    orientation = read_orientation(image)
    upright = stored[::-1] if orientation >= 5 else stored
    if size is None or upright == tuple(size):
        return orientation
    if stored == tuple(size):
        return 1
    raise DataError(
        "image_size",
        f"is {stored[1]}x{stored[0]}, but annotated as {size[1]}x{size[0]}",
        where=path,
        hint="needs the annotated width and height, as stored or after EXIF rotation",
    )


def read_orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none that can be read."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turn_upright(pixels: Tensor, orientation: int) -> Tensor:
    """Undo an EXIF orientation, 1 to 8, of (..., h, w) pixels."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(-1, -2)
    flips = {2: [-1], 3: [-1, -2], 4: [-2], 6: [-1], 7: [-1, -2], 8: [-2]}.get(orientation)
    return pixels.flip(flips) if flips else pixels


def _decode(image: Image.Image) -> Tensor:
    """(3, h, w) as stored. Pillow alone: torchvision's decoders are to be removed."""
    return torch.from_numpy(np.array(_to_rgb(image))).permute(2, 0, 1)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray((wide >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed range")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


@dataclass(frozen=True)
class Look:
    """What an image file says of itself.

    Attributes:
        size: (height, width) as stored.
        orientation: EXIF, 1 to 8.
        brightest: of a 16-bit image's values; None for others.
    """

    size: tuple[int, int]
    orientation: int
    brightest: int | None


def look_into(path: Path) -> Look:
    """Header of a readable image; a 16-bit one is decoded as well."""
    with Image.open(path) as image:
        wide = image.mode.startswith("I")
        brightest = int(np.asarray(image).max()) if wide else None
        return Look((image.height, image.width), read_orientation(image), brightest)
