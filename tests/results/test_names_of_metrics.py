"""No module of the core knows a metric by its name: what one is, its meter or stage declares."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.results.run import known_metrics

ROOT = Path(__file__).parents[2] / "harness"
# Declares what the stages themselves measure.
DECLARES = ROOT / "stages" / "metrics.py"
# Names that are ordinary words, with what else they are.
WORDS = {
    "parameters": "the parameters of a module, and a share of a detector's cost",
    "activations": "a word of torch's",
    "throughput": "a word of measuring",
}
NAMES = frozenset(known_metrics().specs) - frozenset(WORDS)
# Short names that no word is.
SHORT = {name for spec in known_metrics().specs.values() for name in spec.short} - {
    "latency", "params", "macs",
}  # fmt: skip
# Of a manifest's area ranges, of another limit of detections, of a part of a name.
MADE = re.compile(r"(ap|ar)_?(\d+|tiny|small|medium|large)|latency_\w+_(p\d+|spread)")


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of the string constants of a file but for its docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        constant = isinstance(node, ast.Constant) and id(node) not in docstrings
        if constant and isinstance(node.value, str):
            yield node.lineno, node.value


def named(text: str) -> bool:
    return text in NAMES or text in SHORT or MADE.fullmatch(text) is not None


def found_in(path: Path) -> list[str]:
    return [
        f"{path.relative_to(ROOT.parent)}:{line}: {text!r}"
        for line, text in strings(path)
        if named(text)
    ]


def test_no_module_names_a_metric() -> None:
    files = [path for path in ROOT.rglob("*.py") if path != DECLARES]
    assert len(files) > 100
    assert [one for path in sorted(files) for one in found_in(path)] == []


def test_what_declares_them_would_be_found() -> None:
    """The search finds names where there are some."""
    assert len(found_in(DECLARES)) >= 10
    meters = ROOT.parent / "plugins" / "meters" / "metrics.py"
    assert any("'macs_paper'" in one for one in found_in(meters))


@pytest.mark.parametrize(
    "text", ["ap_tiny", "ar_300", "ap50", "latency_network_p75", "latency_p99"]
)
def test_names_that_are_made_up_from_parts_are_known_too(text: str) -> None:
    assert named(text)


@pytest.mark.parametrize("text", ["ap_", "map_small", "time", "arrow", "a detector's ap_small"])
def test_other_words_are_none(text: str) -> None:
    assert not named(text)
