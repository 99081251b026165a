"""All that is wrong with a data set, where a run stops at the first. Decoding alone needs torch."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from harness.data.annotations import Annotations, ImageEntry, as_annotations
from harness.data.coco_json import check_document, parse_coco
from harness.data.completing import completed
from harness.data.faults import REMEDIES, SHOWN, Collector, DataError, Fault, FaultKind
from harness.data.folder import (
    SPLITS,
    CocoFolder,
    check_same_classes,
    file_problem,
    pixel_notes,
)
from harness.data.source import SplitName
from harness.data.splits import Found
from harness.data.training_images import MIN_IMAGE_SIDE, tell_background, trainable_images
from harness.errors import UserError
from harness.files import sha256_of

DOUBTS = frozenset({"corners", "fractions", "both_splits"})  # usable, and likely not as meant


@dataclass(frozen=True)
class SplitAudit:
    """One split.

    Attributes:
        labels: the file that it was found by.
        annotations: what of its labels is right; None where nothing could be read.
        faults: by kind, those that stop a run first.
    """

    name: SplitName
    images: Path
    labels: Path
    annotations: Annotations | None
    faults: tuple[Fault, ...]

    @property
    def is_usable(self) -> bool:
        return not any(fault.stops for fault in self.faults)


@dataclass(frozen=True)
class Audit:
    """A data set.

    Attributes:
        layout: the name of its layout.
        splits: those that were found.
        faults: of the set as a whole.
        decoded: whether every image was.
    """

    layout: str
    splits: tuple[SplitAudit, ...]
    faults: tuple[Fault, ...]
    decoded: bool

    def _usable(self, name: SplitName) -> bool:
        shared = any(fault.stops and fault.kind != "absent_split" for fault in self.faults)
        return not shared and any(one.name == name and one.is_usable for one in self.splits)

    @property
    def is_trainable(self) -> bool:
        return self._usable("train")

    @property
    def is_evaluable(self) -> bool:
        return self._usable("val")

    def verdict(self) -> str:
        """In one or two sentences: what the set is good for, and what to do."""
        every = [*self.faults, *(fault for split in self.splits for fault in split.faults)]
        first, second = (
            f"{'' if is_so else 'not '}{word}"
            for word, is_so in (("trainable", self.is_trainable), ("evaluable", self.is_evaluable))
        )
        alike = self.is_trainable == self.is_evaluable
        able = f"{first} and {second}" if alike else f"{first}, but {second}"
        stops = {fault.kind: None for fault in every if fault.stops}
        if stops:
            to_do = "; ".join(REMEDIES[kind].what_to_do for kind in stops)
            return f"{able}. To do: {to_do}."
        doubts = [fault.line.split(":")[0] for fault in every if fault.kind in DOUBTS]
        more = "" if self.decoded else " --thorough also decodes every image."
        if doubts:
            return f"{able}, but probably not as meant: {'; '.join(doubts)}.{more}"
        return f"{able}; the notes say what a run makes of the rest.{more}" if every else (
            f"{able}; nothing to do.{more}"
        )  # fmt: skip


def audit(folder: CocoFolder, thorough: bool = False) -> Audit:
    """Find all mistakes of a folder's labels and images.

    Args:
        thorough: also decode every image; otherwise only headers are read.

    Raises:
        UserError: no layout is recognised, or what says where the splits are is broken.
    """
    found = folder.found()
    splits = tuple(_split(folder, one, found, thorough) for one in found)
    collector = Collector([folder.root])
    there = {one.name for one in found}
    for name in SPLITS:
        if name not in there:
            collector(DataError("absent_split", f"there is no split '{name}'"))
    read = [one.annotations for one in splits if one.annotations is not None]
    try:
        for annotations in read[1:]:
            check_same_classes(read[0], annotations)
    except UserError as mistake:
        collector(mistake)
    faults = collector.faults()
    if len(read) > 1:
        faults += _in_both(folder.root, splits)
    return Audit(folder.layout, splits, tuple(faults), thorough)


def _split(folder: CocoFolder, found: Found, every: Sequence[Found], thorough: bool) -> SplitAudit:
    collector = Collector([found.labels, found.images, folder.root])
    annotations, tolerated = None, [Fault("other_note", 1, note) for note in found.notes]
    try:
        annotations = _read(found, every, collector)
    except UserError as mistake:
        collector(mistake)
    if annotations is not None:
        tolerated += [fault for fault in annotations.faults if fault.kind != "no_boxes"]
        if not len(annotations.objects):
            collector(DataError("no_boxes", "has no boxes at all", where=found.labels))
        elif found.name == "train" and not len(trainable_images(annotations)):
            needs = f"boxes that are not crowds, in images of {MIN_IMAGE_SIDE} px or more"
            collector(DataError("nothing_to_train_on", "has no boxes to train on", hint=needs))
        good = [one for one in annotations.images if _is_good(found, one, thorough, collector)]
        notes = pixel_notes(found.images, good) if thorough else []
        if found.name == "train" and (told := tell_background(annotations, "keep")):
            notes.append(told)
        tolerated += [Fault("other_note", 1, note) for note in notes]
    faults = (*collector.faults(), *tolerated)
    return SplitAudit(found.name, found.images, found.labels, annotations, faults)


def _read(found: Found, every: Sequence[Found], collector: Collector) -> Annotations | None:
    """What is right of a split's labels; None where it has no image."""
    whole = completed(found, every)
    if whole.convert is None:
        document = parse_coco(whole.labels)
    else:
        document = json.loads(whole.convert(collector))
    lists, notes = check_document(document, found.labels, collector)
    return as_annotations(found.labels, lists, notes) if lists["images"] else None


def _is_good(found: Found, image: ImageEntry, thorough: bool, collector: Collector) -> bool:
    """Whether an image file can be used as it is annotated; the collector is told why not."""
    problem = file_problem(found.images, image.file_name)
    if problem:
        kind: FaultKind = "missing_image" if problem == "is missing" else "unreadable_image"
        collector(DataError(kind, f"{image.file_name} {problem}"))
        return False
    path, size = found.images / image.file_name, (image.height, image.width)
    try:
        if thorough:
            from harness.data.images import read_image

            read_image(path, size)
        else:
            _check_header(path, size)
    except UserError as mistake:
        collector(mistake)
        return False
    return True


def _check_header(path: Path, size: tuple[int, int]) -> None:
    """Raises DataError where a file is not an image, or of another size both ways up."""
    try:
        with Image.open(path) as image:
            stored = (image.height, image.width)
    except Exception as error:  # decoders raise anything on a broken file
        raise DataError("unreadable_image", "is not an image", where=path) from error
    if size not in (stored, stored[::-1]):
        found = f"is {stored[1]}x{stored[0]}, but annotated as {size[1]}x{size[0]}"
        raise DataError("image_size", found, where=path)


def _in_both(root: Path, splits: Iterable[SplitAudit]) -> list[Fault]:
    """Images of the validation split whose file, or a copy of it, is trained on."""
    files: dict[SplitName, dict[int, list[Path]]] = {name: defaultdict(list) for name in SPLITS}
    for split in splits:
        for image in split.annotations.images if split.annotations is not None else ():
            path = split.images / image.file_name
            try:
                files[split.name][path.stat().st_size].append(path)
            except OSError:
                continue  # told of already
    again = []
    for size, paths in files["val"].items():
        trained = {_content(path): path for path in files["train"].get(size, ())}
        again += [(path, trained[c]) for path in paths if (c := _content(path)) in trained]
    if not again:
        return []
    pairs = [[str(p).removeprefix(f"{root}/") for p in pair] for pair in again[:SHOWN]]
    examples = tuple(val if val == train else f"{val} is {train}" for val, train in pairs)
    line = f"{len(again)} validation images are also trained on: AP on them says little"
    return [Fault("both_splits", len(again), line, examples)]


def _content(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return str(path)
