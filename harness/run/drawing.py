"""Detections drawn into an image, with labels that lie beside the objects that they name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageColor, ImageDraw, ImageFont

# Okabe and Ito's palette, which the colour-blind can tell apart (jfly.uni-koeln.de/color)
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
SMALLEST_TEXT = 11  # pixels; less cannot be read
MARGIN = 2  # pixels between a label's text and its edge
Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class Drawn:
    """A detection: (x1, y1, x2, y2) in pixels, its class and score."""

    box: Rectangle
    label: int
    name: str
    score: float


def draw_detections(image: Image.Image, found: Sequence[Drawn]) -> Image.Image:
    """A copy of an RGB image with boxes and labels, the highest score's placed first.

    Lines and text grow with the image. A label goes where it covers least of all boxes and of the
    labels before it.
    """
    drawn = image.copy()
    canvas = ImageDraw.Draw(drawn)
    longer = max(image.size)
    line = max(1, round(longer / 320))
    font = ImageFont.load_default(size=max(SMALLEST_TEXT, longer / 55))
    for one in reversed(found):  # the surest on top
        canvas.rectangle(one.box, outline=_colour(one), width=line)
    taken: list[Rectangle] = []
    boxes = [one.box for one in found]
    for one in sorted(found, key=lambda one: -one.score):
        text = f"{one.name} {one.score:.2f}"
        left, top, right, bottom = font.getbbox(text)
        size = (right - left + 2 * MARGIN, bottom - top + 2 * MARGIN)
        places = list(_places(one.box, size, image.size, line))
        place = min(places, key=lambda p: _covered(p, boxes) + 4 * _covered(p, taken))
        taken.append(place)
        canvas.rectangle(place, fill=_colour(one))
        corner = (place[0] + MARGIN - left, place[1] + MARGIN - top)
        canvas.text(corner, text, font=font, fill=_readable_on(_colour(one)))
    return drawn


def _colour(one: Drawn) -> str:
    return COLOURS[one.label % len(COLOURS)]


def _readable_on(colour: str) -> str:
    """Whichever has the higher contrast (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)."""
    red, green, blue = (
        x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4
        for x in (value / 255 for value in ImageColor.getrgb(colour)[:3])
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "white"


def _places(
    box: Rectangle, size: tuple[float, float], image: tuple[int, int], line: int
) -> Iterator[Rectangle]:
    """Beside the box, moved into the image; first what people expect."""
    x1, y1, x2, y2 = box
    width, height = size
    above, below = y1 - height - line, y2 + line
    for x, y in (
        (x1, above), (x2 - width, above), (x1, below), (x2 - width, below),
        (x2 + line, y1), (x1 - width - line, y1), (x2 + line, above), (x2 + line, below),
        (x1 - width - line, above), (x1 - width - line, below),
    ):  # fmt: skip
        left = min(max(x, 0), max(image[0] - width - 1, 0))
        top = min(max(y, 0), max(image[1] - height - 1, 0))
        yield left, top, left + width, top + height


def _covered(place: Rectangle, others: Sequence[Rectangle]) -> float:
    """Square pixels of the others under it, each counted."""
    return sum(
        max(0.0, min(place[2], x2) - max(place[0], x1))
        * max(0.0, min(place[3], y2) - max(place[1], y1))
        for x1, y1, x2, y2 in others
    )
