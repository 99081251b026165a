"""Reads YAML safely and remembers the line of each value."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError

MAX_BYTES = 1_000_000
MAX_VALUES = 50_000  # after aliases are expanded
MAX_DEPTH = 40

Key = str | int
KeyPath = tuple[Key, ...]
Place = Callable[[KeyPath], str]  # where the value at a path stands, for errors


def inside(place: Place, *outer: Key) -> Place:
    """Of paths that begin at `outer`."""
    return lambda path: place((*outer, *path))


_SCALARS = {"null", "bool", "int", "float", "str", "timestamp"}
_CORE = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as YAML 1.2 does; PyYAML requires 1.0e-3."""


_Loader.add_implicit_resolver(
    _CORE + "float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@dataclass
class Document:
    """A parsed file: plain dicts, lists and scalars, and the line of each."""

    source: str
    value: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def get(self, path: KeyPath) -> Any:
        """The value at `path`, None where there is none."""
        value = self.value
        for key in path:
            inside = isinstance(value, dict) and key in value
            inside = inside or (isinstance(value, list) and key in range(len(value)))
            value = value[key] if inside else None
        return value

    def place(self, path: KeyPath) -> str:
        """ "file:line" of the value, or of its nearest ancestor in the file."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return f"{self.source}:{self.lines[path[:length]]}"
        return self.source


def read_yaml(path: Path) -> Document:
    """Read a manifest.

    Raises:
        UserError: missing, unreadable, larger than 1 MB, not UTF-8, not YAML, empty, with
            tags, duplicate keys, keys that are not strings, or aliases that expand too far.
    """
    return parse_yaml(_read_text(path), str(path))


def parse_yaml(text: str, source: str) -> Document:
    """Parse one YAML document; see `read_yaml` for what is refused."""
    try:
        node = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"is not YAML: {error.problem}", where=f"{source}:{line}") from error
    except yaml.YAMLError as error:
        raise UserError(f"is not YAML: {str(error).splitlines()[0]}", where=source) from error
    except RecursionError as error:
        raise UserError(f"is nested deeper than {MAX_DEPTH} levels", where=source) from error
    if node is None:
        raise UserError(
            "is empty", where=source, hint="a manifest is a mapping; see docs/manifest.md"
        )
    document = Document(source)
    document.value = _Builder(document).build(node, ())
    return document


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)  # a pipe or a device may have no end
        if len(content) > MAX_BYTES:
            raise UserError(f"is larger than {MAX_BYTES} bytes", where=path)
        return content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError("no such file", where=path) from error
    except UnicodeDecodeError as error:
        raise UserError("is not UTF-8 text", where=path) from error
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=path) from error


class _Builder:
    """Turns composed nodes into plain values, counting what aliases expand to."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.constructor = _Loader("")
        self.count = 0

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        self.count += 1
        if self.count > MAX_VALUES:
            self._refuse(line, f"expands to more than {MAX_VALUES} values (nested aliases?)")
        if len(path) > MAX_DEPTH:
            self._refuse(line, f"is nested deeper than {MAX_DEPTH} levels")
        self.document.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            self._require_tag(node, {"map"})
            return dict(self._items(node, path))
        if isinstance(node, yaml.SequenceNode):
            self._require_tag(node, {"seq"})
            return [self.build(child, (*path, i)) for i, child in enumerate(node.value)]
        self._require_tag(node, _SCALARS)
        return self._scalar(node, line)

    def _items(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        seen = set()
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag != _CORE + "str":
                self._refuse(line, f"has a key that is not a string: {key_node.value!r}")
            key = key_node.value
            if key in seen:
                self._refuse(line, f"has the key '{key}' twice")
            seen.add(key)
            self.document.lines[(*path, key)] = line
            yield key, self.build(value_node, (*path, key))

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        if node.tag in (_CORE + "str", _CORE + "timestamp"):
            return node.value
        try:
            return self.constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(
                f"cannot be read as a value: {node.value!r}", where=f"{self.document.source}:{line}"
            ) from error

    def _require_tag(self, node: yaml.Node, allowed: set[str]) -> None:
        if node.tag.removeprefix(_CORE) not in allowed or not node.tag.startswith(_CORE):
            self._refuse(
                node.start_mark.line + 1,
                f"carries the YAML tag '{node.tag.replace(_CORE, '!!')}'; tags are not allowed",
            )

    def _refuse(self, line: int, found: str) -> None:
        raise UserError(found, where=f"{self.document.source}:{line}")
