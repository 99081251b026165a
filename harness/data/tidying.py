"""Normalises what exporters write differently from COCO, where one reading is right. No torch.

Every rule leaves a note with a count. What two readings fit is left for the checks to refuse.
"""

from typing import Any

Entry = dict[str, Any]
Lists = dict[str, list[Entry]]
TEXT_ID = "harness_text_id"  # key of an entry whose id was text: what it was
OPTIONAL = frozenset({"area", "iscrowd", "segmentation", "supercategory"})


def tidy(lists: Lists) -> tuple[Lists, list[str]]:
    """The same lists in COCO's terms, and notes.

    Backslashes in file names become slashes; optional fields that are null are absent; ids that
    are text become numbers; annotations are renumbered where ids are absent or repeated;
    Roboflow's root category (id 0, the supercategory of all others, without an object) is left
    out. The lists that are passed, and their entries, are not changed.
    """
    if not all(isinstance(entry, dict) for entries in lists.values() for entry in entries):
        return lists, []  # the checks say which is not
    notes: list[str] = []
    for rule in (_nulls, _slashes, _text_ids, _annotation_ids, _root_category):
        lists, note = rule(lists)
        notes += [note] if note else []
    return lists, notes


def _nulls(lists: Lists) -> tuple[Lists, str]:
    def is_null(entry: Entry) -> bool:
        return any(key in entry and entry[key] is None for key in OPTIONAL)

    count = sum(is_null(entry) for entries in lists.values() for entry in entries)
    if not count:
        return lists, ""
    kept = {
        key: [
            {k: v for k, v in entry.items() if v is not None or k not in OPTIONAL}
            if is_null(entry)
            else entry
            for entry in entries
        ]
        for key, entries in lists.items()
    }
    return kept, f"{count} entries with null optional fields, treated as absent"


def _slashes(lists: Lists) -> tuple[Lists, str]:
    images = [
        {**image, "file_name": image["file_name"].replace("\\", "/")}
        if isinstance(image.get("file_name"), str) and "\\" in image["file_name"]
        else image
        for image in lists["images"]
    ]
    count = sum(a is not b for a, b in zip(images, lists["images"], strict=True))
    return {**lists, "images": images}, (
        f"{count} file names with backslashes, read as slashes" if count else ""
    )


def _text_ids(lists: Lists) -> tuple[Lists, str]:
    said = []
    for key, reference in (("images", "image_id"), ("categories", "category_id")):
        ids = [entry.get("id") for entry in lists[key]]
        uses = [entry.get(reference) for entry in lists["annotations"]]
        if not any(isinstance(value, str) for value in (*ids, *uses)):
            continue
        if not all(type(value) in (int, str) for value in ids):
            continue
        digits = all(str(value).isdecimal() and str(value).isascii() for value in ids)
        numbers = {str(v): int(str(v)) if digits else n for n, v in enumerate(ids, 1)}
        if len(numbers) < len(ids) or len(set(numbers.values())) < len(ids):
            continue  # two entries of one id, which the checks refuse
        own = [
            {**entry, "id": numbers[str(entry["id"])], TEXT_ID: str(entry["id"])}
            for entry in lists[key]
        ]
        users = [
            {**entry, reference: numbers.get(str(entry[reference]), entry[reference])}
            if reference in entry
            else entry
            for entry in lists["annotations"]
        ]
        lists = {**lists, key: own, "annotations": users}
        said.append(f"{key} with text as ids, " + ("read as numbers" if digits else "numbered"))
    return lists, "; ".join(said)


def _annotation_ids(lists: Lists) -> tuple[Lists, str]:
    ids = [entry.get("id") for entry in lists["annotations"]]
    odd = sum(value is None or isinstance(value, str) for value in ids)
    hashable = [value for value in ids if isinstance(value, int | str)]
    again = len(hashable) - len(set(hashable))
    if not odd + again:
        return lists, ""
    numbered = [{**entry, "id": n} for n, entry in enumerate(lists["annotations"], 1)]
    found = f"{odd + again} annotation ids that are absent, text or repeated"
    return {**lists, "annotations": numbered}, f"{found}: all annotations renumbered"


def _root_category(lists: Lists) -> tuple[Lists, str]:
    first = next((c for c in lists["categories"] if c.get("id") == 0), None)
    others = [c for c in lists["categories"] if c is not first]
    if first is None or not others or not first.get("name"):
        return lists, ""
    is_root = all(c.get("supercategory") == first["name"] for c in others)
    if not is_root or any(a.get("category_id") == 0 for a in lists["annotations"]):
        return lists, ""
    note = (
        f"category 0 '{first['name']}' is the supercategory of all others and has no box: no class"
    )
    return {**lists, "categories": others}, note
