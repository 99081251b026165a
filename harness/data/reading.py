"""Images of a split for a loader: from the cache if they are there, else from their files."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from harness.data.annotations import ImageEntry
from harness.data.image_cache import FULL, ImageStore, Stamp, note_uncached, open_cache
from harness.data.images import read_entry
from harness.data.resize import (
    CornerSquashResize,
    LetterboxResize,
    Resize,
    ResizedImage,
    ShortestSideResize,
    SquashResize,
)
from harness.data.source import Split

# what they do to pixels follows from their descriptions
KNOWN = (SquashResize, CornerSquashResize, LetterboxResize, ShortestSideResize)


class ImageReader:
    """Reads images by their position in the annotation file, from a cache if there is one.

    Args:
        whole: photos will be asked for, not only images at network size: then they are cached.
        cache_gib: see `open_cache`.
        note: see `open_cache`.
    """

    def __init__(
        self,
        split: Split,
        images: Sequence[ImageEntry],
        resize: Resize,
        *,
        whole: bool,
        cache_gib: float,
        note: bool = True,
    ) -> None:
        self.split, self.images, self.resize = split, images, resize
        # not those made of them, which may do something else
        self.keeps_resized = not whole and type(resize) in KNOWN
        kept = resize.describe() if self.keeps_resized else None
        self.store: ImageStore | None = open_cache(split, images, kept, cache_gib, note)

    def photo(self, row: int) -> Tensor:
        """(3, h, w) uint8; not to be written to."""
        if self.keeps_resized:
            return read_entry(self.split.images, self.images[row])
        return self._kept(row, lambda: read_entry(self.split.images, self.images[row]))

    def resized(self, row: int) -> ResizedImage:
        """At network size; not to be written to."""
        resize = self.resize
        if not (self.keeps_resized and isinstance(resize, KNOWN)):
            return resize(self.photo(row))
        entry = self.images[row]
        pixels = self._kept(row, lambda: resize(self.photo(row)).pixels)
        return resize.place(pixels, (entry.height, entry.width))

    def _kept(self, row: int, make: Callable[[], Tensor]) -> Tensor:
        """From the cache, or from `make`, whose result is then cached."""
        if self.store is None:
            return make()
        try:
            stamp = Stamp.of(self.split.images / self.images[row].file_name)
            found = self.store.read(row, stamp)
        except (OSError, ValueError):  # no such file, which `make` reports; or the cache is gone
            return make()
        if found is None:
            found = make()
            self._keep(self.store, row, stamp, found)
        return found

    def _keep(self, store: ImageStore, row: int, stamp: Stamp, pixels: Tensor) -> None:
        try:
            store.write(row, stamp, pixels)
        except OSError as error:
            self.store = None
            if _is_first(store.folder):
                note_uncached(f"{store.folder}: {error.strerror or error}")


def _is_first(folder: Path) -> bool:
    """Whether this process is the first to find the disk full: one of them reports it."""
    try:
        (folder / FULL).touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return True
    return True
