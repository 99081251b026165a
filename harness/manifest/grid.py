"""A suite of one detector's variants: every combination of some choices, to see what each buys."""

import math
import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError, near_names
from harness.manifest.reader import parse_yaml
from harness.manifest.suite import Tree, load_manifest, set_value

LONGEST = 63  # characters of a detector's name
MOST = 64  # combinations: more are a mistake sooner than a wish


@dataclass(frozen=True)
class Choice:
    """`--vary key=value,value`.

    Attributes:
        path: of the setting in a detector.
        values: as a manifest writes them.
    """

    path: tuple[str, ...]
    values: tuple[Any, ...]
    text: str


def parse_choice(text: str) -> Choice:
    """ "neck=tiny_fpn,top_down", or a list in YAML where the values are no plain words.

    Raises:
        UserError: it is neither, or there are fewer than two values.
    """
    key, equals, values = text.partition("=")
    path, where = tuple(key.split(".")), f"--vary {text}"
    if not equals or not all(path):
        raise UserError("is not of the form key=A,B", where=where)
    listed = values if values.startswith("[") else f"[{values}]"
    parsed = parse_yaml(listed, where).value
    if not isinstance(parsed, list) or len(parsed) < 2:
        raise UserError("needs two values or more", where=where, hint="key=A,B")
    return Choice(path, tuple(parsed), text)


def vary(path: Path, base: str | None, choices: Sequence[Choice]) -> str:
    """The manifest with variants of one detector in place of its detectors, as YAML.

    Args:
        base: the detector, by default the first.

    Raises:
        UserError: the manifest is wrong, has no such detector, or a variant would be wrong.
    """
    raw: Tree = deepcopy(load_manifest(path).document.value)
    names = list(raw["detectors"])
    name = names[0] if base is None else base
    if name not in names:
        raise UserError(f"has no detector '{name}'", where=path, hint=near_names(name, names))
    count = math.prod(len(choice.values) for choice in choices)
    if count > MOST:
        raise UserError(f"makes {count} detectors, more than {MOST}", where="--vary")
    variants: Tree = {}
    for values in product(*(choice.values for choice in choices)):
        variant = deepcopy(raw["detectors"][name])
        for choice, value in zip(choices, values, strict=True):
            set_value(variant, choice.path, deepcopy(value), choice.text)
        variants[_name(choices, values, variants)] = variant
    kept = {key: value for key, value in raw.items() if key not in ("published", "gates")}
    suite = {**kept, "suite": f"{raw['suite']}-ablation", "detectors": variants}
    text = yaml.safe_dump(
        suite, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )
    varied = ", ".join(".".join(choice.path) for choice in choices)
    return f"# {path}, {name} with every combination of {varied}\n{text}"


def _name(choices: Sequence[Choice], values: Sequence[Any], taken: Tree) -> str:
    """What varies, as the name of a detector."""
    words = []
    for choice, value in zip(choices, values, strict=True):
        shown = value.get("use", value) if isinstance(value, dict) else value
        word = shown if isinstance(shown, str) else f"{choice.path[-1]}{shown}"
        words.append(re.sub(r"[^A-Za-z0-9_.]+", "-", word).strip("-."))
    name = "-".join(words)[: LONGEST - len(str(MOST)) - 1]
    numbered = (f"{name}-{number}" for number in range(2, MOST + 2))
    return next(one for one in (name, *numbered) if one not in taken)
