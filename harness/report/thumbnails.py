"""Small copies of images that together stay within what a page may weigh."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

BUDGET = 1_200_000  # characters of all data URIs together
# side, quality
STEPS = ((480, 70), (480, 60), (400, 60), (400, 50), (320, 50), (240, 45), (160, 40))
Size = tuple[int, int]


@dataclass(frozen=True)
class Thumbnail:
    """A data URI, or why there is none."""

    source: str
    problem: str = ""


def shrink_images(paths: Sequence[Path], sizes: Sequence[Size]) -> list[Thumbnail]:
    """JPEG copies, all of them smaller or coarser where they would weigh too much.

    The smallest copies are given back even if they weigh more than `BUDGET`: some 5,000 characters
    each.

    Args:
        sizes: annotated (height, width), which say how an EXIF rotation is meant, as in
            `harness.data.images.read_image`.
    """
    side = STEPS[0][0]
    largest = [open_upright(path, size, side) for path, size in zip(paths, sizes, strict=True)]
    shown: list[Thumbnail] = []
    for side, quality in STEPS:
        shown = [_shrink(image, side, quality) for image in largest]
        if sum(len(thumbnail.source) for thumbnail in shown) <= BUDGET:
            break
    return shown


def open_upright(path: Path, size: Size, side: int | None = None) -> Image.Image | str:
    """The image, at most with sides so long, or why it cannot be opened.

    Args:
        size: annotated (height, width).
    """
    try:
        with Image.open(path) as image:
            fits = image.size == size[::-1]
            if side is not None:
                image.draft("RGB", (side, side))
            upright = (image if fits else ImageOps.exif_transpose(image)).convert("RGB")
    except FileNotFoundError:
        return "the image is not there"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"the image cannot be read ({type(error).__name__})"
    if side is not None:
        upright.thumbnail((side, side))
    return upright


def _shrink(image: Image.Image | str, side: int, quality: int) -> Thumbnail:
    if isinstance(image, str):
        return Thumbnail("", image)
    copy = image.copy()
    copy.thumbnail((side, side))
    return encode(copy, quality)


def encode(image: Image.Image, quality: int) -> Thumbnail:
    """As JPEG of that quality."""
    out = BytesIO()
    image.save(out, "JPEG", quality=quality, optimize=True)
    return Thumbnail("data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii"))
