"""COCO files that lack what the image files or the training split know. No torch here."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from harness.data.faults import OnMistake
from harness.data.splits import NOTES, Found, climbs_out, read_bytes, upright_size
from harness.errors import UserError

NO_SIZE = re.compile(rb'"(?:width|height)"\s*:\s*(?:null|-|0\s*[,}\]])')
CATEGORIES = re.compile(rb'"categories"\s*:\s*(?=\[)')


def completed(found: Found, splits: Iterable[Found]) -> Found:
    """A split whose images all have a size, and which lists the classes of the training split.

    Sizes that are absent, null, 0 or negative are read from the images' headers. Classes are those
    of the training split where the split lists only some of them; other differences stay, for
    `check_same_classes` to refuse. A file that lacks nothing is returned as found.
    """
    if found.convert is not None or not found.labels.is_file():
        return found
    content = read_bytes(found.labels)
    train = next((one for one in splits if one.name == "train" and one.labels.is_file()), found)
    classes = _more_classes(content, train, found)
    sizes = _lacks_sizes(content)
    if not sizes and classes is None:
        return found
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return found  # its reader says what is wrong
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        return found
    images = [image for image in document["images"] if _without_size(image)]
    if not images and classes is None:
        return found
    pictures = tuple(found.images / image["file_name"].replace("\\", "/") for image in images)

    def convert(on_mistake: OnMistake) -> str:
        notes, read = [], 0
        for image, picture in zip(images, pictures, strict=True):
            try:
                image["width"], image["height"] = upright_size(picture)
                read += 1
            except UserError as mistake:
                on_mistake(mistake)
        if read:
            notes.append(f"{read} images without width and height, read from their files")
        if classes is not None:
            own = len(document["categories"])
            notes.append(f"lists {own} of the {len(classes)} classes of the training split")
            document["categories"] = classes
        return json.dumps({**document, NOTES: notes})

    files = (train.labels,) if classes is not None else ()
    return replace(found, files=files, pictures=pictures, convert=convert)


def _lacks_sizes(content: bytes) -> bool:
    """Cheap, for files of hundreds of megabytes; `_without_size` has the last word."""
    names = content.count(b'"file_name"')
    few = any(content.count(key) < names for key in (b'"width"', b'"height"'))
    return few or NO_SIZE.search(content) is not None


def _without_size(image: Any) -> bool:
    """Whether an image has no size, and a name that may be looked up."""
    if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
        return False
    lacks = any(image.get(key) in (None, -1, 0) for key in ("width", "height"))
    return lacks and not climbs_out(image["file_name"])


def _more_classes(content: bytes, train: Found, found: Found) -> list[Any] | None:
    """Categories of the training split where the split's own are only some of them."""
    if train is found or train.convert is not None:
        return None
    own, all_of_them = _categories(content), _categories(read_bytes(train.labels))
    if own is None or all_of_them is None or len(own) >= len(all_of_them):
        return None
    pairs = [{(c.get("id"), c.get("name")) for c in one} for one in (own, all_of_them)]
    return all_of_them if pairs[0] < pairs[1] else None


def _categories(content: bytes) -> list[dict[str, Any]] | None:
    """The list `categories` without parsing the rest of the file."""
    for match in CATEGORIES.finditer(content):
        try:
            text = content[match.end() :].decode()
            found, _ = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            return None
        if all(isinstance(c, dict) for c in found) and all(
            isinstance(c.get(key), int | str) for c in found for key in ("id", "name")
        ):
            return list(found)
    return None
