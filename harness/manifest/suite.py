"""From a manifest file, a profile and overrides to one resolved `Suite`."""

import csv
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError, near_names
from harness.manifest.reader import Document, KeyPath, parse_yaml, read_yaml
from harness.manifest.schema import SUITES_RECIPE, Suite
from harness.manifest.validation import invalid
from harness.plugin.declarations import PART_KINDS

Tree = dict[str, Any]
TOP_KEYS = {"suite", "defaults", "profiles", "detectors", "published"}
LAYER_KEYS = {
    "data", "seeds", "stages", "meters", "columns", "evaluate", "latency", "report", "gates",
    "detector", "executor", "trackers",
}  # fmt: skip
PARTS_ONLY = {*PART_KINDS, "architecture", "input", "backbone_checkpoint"}
DEFAULT_PROFILE = "quick"
NAMED = {"optimizer": "sgd", "schedule": "cosine"}  # by "name", not "use"; which without one
# of `train`, what a suite says whatever recipe a detector has
BUDGET = {
    "steps", "epochs", "batch_size", "accumulate", "gpus", "precision", "step", "workers",
    "cache_gib", "log_every", "background", "evaluate_every", "evaluate_images",
}  # fmt: skip
INHERITED = {"optimizer": ("lr", "weight_decay")}  # by another part of this kind


@dataclass(frozen=True)
class Override:
    """`--set path=value`.

    A `*` in the path matches every key at that position; a key with dots is quoted.
    """

    path: tuple[str, ...]
    value: Any
    text: str
    option: str = "--set"


@dataclass(frozen=True)
class Manifest:
    """A file, the chosen profile and the overrides."""

    document: Document
    profile: str
    overrides: tuple[Override, ...] = ()
    suite: Suite = field(init=False)

    def __post_init__(self) -> None:
        tree = _resolve(self.document.value, self.profile, self.overrides)
        for override in self.overrides:
            _check_target(tree, override)
            _apply(tree, override.path, override)
        object.__setattr__(self, "suite", _validate(self, tree, self.profile))
        for profile in self.document.value["profiles"]:
            if profile != self.profile:  # a mistake in any profile is a mistake
                _validate(self, _resolve(self.document.value, profile), profile)

    def place(self, path: KeyPath, profile: str | None = None) -> str:
        """Where the value at `path` of the resolved suite was written, and its path there.

        A path that ends in "use" also means a part that is named by a bare word.
        """
        dotted = ".".join(map(str, path))
        for override in reversed(self.overrides):
            if profile in (None, self.profile) and _covers(override.path, path):
                return f"{override.option} {override.text}: {dotted}"
        written_paths = _written_paths(path, profile or self.profile)
        for written in written_paths:
            if written in self.document.lines:
                return _join(self.document.place(written), written)
            if path[-1:] == ("use",) and isinstance(self.document.get(written[:-1]), str):
                return _join(self.document.place(written), written[:-1])
        best = max(written_paths, key=lambda p: _known_depth(self.document, p))
        return _join(self.document.place(best), path)


def _join(place: str, path: KeyPath) -> str:
    return f"{place} {'.'.join(map(str, path))}".rstrip()


def load_manifest(
    path: str | Path,
    profile: str | None = None,
    overrides: Sequence[str | Override] = (),
    data_root: str | None = None,
) -> Manifest:
    """Read a manifest and resolve it.

    Args:
        profile: "quick" when None.
        overrides: "a.b.c=value" each, value in YAML; paths are those of the resolved suite.
        data_root: a data set's folder, for a manifest that names no data.

    Raises:
        UserError: naming file, line, dotted path, what was found and the near name.
    """
    document = read_yaml(Path(path))
    _check_shape(document)
    if data_root is not None:
        usual = document.value.setdefault("defaults", {})
        usual.setdefault("data", {"use": "coco", "params": {"root": data_root}})
    profiles = document.value["profiles"]
    chosen = profile or (DEFAULT_PROFILE if DEFAULT_PROFILE in profiles else next(iter(profiles)))
    if chosen not in profiles:
        hint = near_names(chosen, list(profiles))
        raise UserError(f"has no profile '{chosen}'", where=path, hint=hint)
    return Manifest(document, chosen, tuple(map(_parse_override, overrides)))


def _parse_override(text: str | Override) -> Override:
    if isinstance(text, Override):
        return text
    path, equals, value = text.partition("=")
    try:
        keys = tuple(next(csv.reader([path], delimiter=".", strict=True), ()))
    except csv.Error:
        keys = ()
    if not equals or not keys or not all(keys):
        raise UserError(f"--set {text}: is not of the form a.b.c=value")
    return Override(keys, parse_yaml(value, "--set " + text).value if value else None, text)


def _check_shape(document: Document) -> None:
    """The outer keys, before anything is merged."""
    _require_mapping(document, (), TOP_KEYS)
    for key in ("suite", "detectors"):
        if key not in document.value:
            raise UserError(f"has no '{key}'", where=document.source, hint="see docs/manifest.md")
    if "defaults" in document.value:
        _check_layer(document, ("defaults",))
    if "profiles" not in document.value:
        document.value["profiles"] = {DEFAULT_PROFILE: {}}
    for name in _require_mapping(document, ("profiles",)):
        _check_layer(document, ("profiles", name))
    for name, detector in _require_mapping(document, ("detectors",)).items():
        _require_mapping(document, ("detectors", name))
        if "profiles" in detector:
            path = ("detectors", name, "profiles")
            for profile in _require_mapping(document, path, set(document.value["profiles"])):
                _require_mapping(document, (*path, profile))


def _check_layer(document: Document, path: KeyPath) -> None:
    if "detector" in _require_mapping(document, path, LAYER_KEYS):
        _require_mapping(document, (*path, "detector"))


def _require_mapping(document: Document, path: KeyPath, known: set[str] | None = None) -> Tree:
    value = document.value
    for key in path:
        value = value[key]
    where = _join(document.place(path), path)
    if not isinstance(value, dict):
        kinds = {"NoneType": "empty", "list": "a list", "str": "text"}
        kind = kinds.get(type(value).__name__, repr(value))
        raise UserError(f"is {kind}, not a mapping", where=where)
    if known is None and not value:
        raise UserError("is empty", where=where)
    for key in value:
        if known is not None and key not in known:
            raise UserError(
                f"unknown key '{key}'",
                where=_join(document.place((*path, key)), (*path, key)),
                hint=near_names(key, list(known)),
            )
    return value


def _resolve(raw: Tree, profile: str, overrides: Sequence[Override] = ()) -> Tree:
    """defaults < profile; for each detector: those < its own keys < its keys for the profile.

    Args:
        overrides: that are applied to it later, and may choose recipes.
    """
    layer = merge(deepcopy(raw.get("defaults", {})), raw["profiles"][profile])
    base = layer.pop("detector", {})
    detectors = {}
    for name, own in raw["detectors"].items():
        path = ("detectors", name, "recipe")
        chosen = [o.value for o in overrides if len(o.path) == 3 and _covers(o.path, path)]
        detectors[name] = _detector(base, own, profile, chosen[-1:])
    head = {"suite": raw["suite"], "profile": profile, "published": raw.get("published", [])}
    return {**layer, **head, "detectors": detectors}


def _detector(base: Tree, own: Tree, profile: str, chosen: Sequence[Any]) -> Tree:
    """`chosen`: the recipe, where an override says which."""
    own = dict(own)
    special = own.pop("profiles", {}).get(profile, {})
    dropped: set[str] = set()
    if "detections" in own:  # of a detector that is not ours to build
        dropped = set(base)
    elif "detector" in own:  # a whole detector inherits no parts
        dropped = PARTS_ONLY
    elif "architecture" in own and own["architecture"] != base.get("architecture"):
        dropped = set(PART_KINDS)  # nor does one of another architecture
    base = {key: value for key, value in base.items() if key not in dropped}
    recipes = (*chosen, *(layer["recipe"] for layer in (special, own, base) if "recipe" in layer))
    train = base.get("train")
    if recipes and recipes[0] != SUITES_RECIPE and isinstance(train, dict):
        base["train"] = {key: value for key, value in train.items() if key in BUDGET}
    return merge(merge(deepcopy(base), own), special)


def merge(below: Tree, above: Mapping[str, Any]) -> Tree:
    """Mappings merge key by key, except a part that is another plugin's; all else replaces."""
    for key, value in above.items():
        old, chooser, usual = below.get(key), _chooser(key), NAMED.get(key)
        if isinstance(old, str) and isinstance(value, dict) and chooser not in value:
            old = {chooser: old}
        if not (isinstance(old, dict) and isinstance(value, dict)):
            below[key] = deepcopy(value)
        elif value.get(chooser, old.get(chooser, usual)) == old.get(chooser, usual):
            below[key] = merge(dict(old), value)
        else:
            kept = {name: old[name] for name in INHERITED.get(key, ()) if name in old}
            below[key] = kept | deepcopy(value)
    return below


def _chooser(key: str) -> str:
    return "name" if key in NAMED else "use"


def _check_target(tree: Tree, override: Override) -> None:
    """The outer keys of an override must exist; what is below them, the schema checks."""
    known = sorted(set(Suite.model_fields) - {"profile"})
    where = f"{override.option} {override.text}"
    if override.path[0] == "profile":
        raise UserError("is not a value of the suite", where=where, hint="choose it with --profile")
    if override.path[0] not in known:
        hint = near_names(override.path[0], known)
        raise UserError(f"unknown key '{override.path[0]}'", where=where, hint=hint)
    detectors = tree["detectors"]
    if override.path[0] == "detectors" and override.path[2:] == ("detections",):
        # a file is all that there is to such a detector, so that it may be a new one
        if "detections" not in detectors.get(override.path[1], {"detections": ""}):
            found = f"'{override.path[1]}' is a detector of the suite that is built"
            raise UserError(found, where=where, hint="choose another name for the file")
        return
    if override.path[0] == "detectors" and not {*override.path[1:2]} <= {*detectors, "*"}:
        hint = near_names(override.path[1], list(detectors))
        raise UserError(f"there is no detector '{override.path[1]}'", where=where, hint=hint)


def _apply(tree: Any, path: Sequence[str], override: Override) -> None:
    key, rest = path[0], path[1:]
    if not isinstance(tree, dict):
        kind = "a list" if isinstance(tree, list) else "a value"
        raise UserError(
            f"{override.option} {override.text}: '{key}' is inside {kind}, not a mapping",
            hint="set the whole of it, such as key=[a, b]",
        )
    for name in _chosen(tree, rest) if key == "*" else [key]:
        if not rest:
            tree[name] = override.value
            continue
        if name in NAMED and tuple(rest) == ("name",):  # another's parameters go with it
            merge(tree, {name: {"name": override.value}})
            continue
        flat = name in ("executor", *NAMED)  # parameters are keys next to the name
        if isinstance(tree.get(name), str) and (rest[0] in ("use", "params") or flat):
            tree[name] = {_chooser(name): tree[name]}
        _apply(tree.setdefault(name, {}), rest, override)


def _chosen(tree: Tree, rest: Sequence[str]) -> list[str]:
    """What `*` stands for: every key, but for files of detections, which have no other setting."""
    return [
        name for name, value in tree.items()
        if not rest or not isinstance(value, dict) or "detections" not in value
    ]  # fmt: skip


def set_value(tree: Tree, path: Sequence[str], value: Any, text: str) -> None:
    """Set a value of a tree as an override does; `text` names it in errors, as of `--vary`."""
    _apply(tree, path, Override(tuple(path), value, text, "--vary"))


def _covers(pattern: Sequence[str], path: KeyPath) -> bool:
    pairs = zip(pattern, path, strict=False)
    return len(pattern) <= len(path) and all(p in ("*", str(k)) for p, k in pairs)


def _written_paths(path: KeyPath, profile: str) -> list[KeyPath]:
    """Where in the file a resolved value may be written, the strongest place first."""
    if path[:1] == ("detectors",) and len(path) > 1:
        rest = path[2:]
        return [
            (*path[:2], "profiles", profile, *rest),
            path,
            ("profiles", profile, "detector", *rest),
            ("defaults", "detector", *rest),
        ]
    return [("profiles", profile, *path), ("defaults", *path), path]


def _known_depth(document: Document, path: KeyPath) -> int:
    return sum(path[:n] in document.lines for n in range(1, len(path) + 1))


def _validate(manifest: Manifest, tree: Tree, profile: str) -> Suite:
    try:
        return Suite.model_validate(tree)
    except ValidationError as error:
        raise invalid(error, Suite, lambda path: manifest.place(path, profile)) from error
