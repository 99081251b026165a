"""Every warning that the code can give has its words."""

import ast
from collections.abc import Iterator
from pathlib import Path

import harness
import harness_plugins
from harness.plugin.manager import load_plugins
from harness.plugin.metrics import Finding
from harness.results.run import known_metrics

SOURCES = [Path(harness.__file__).parent, *map(Path, harness_plugins.__path__)]


def given(source: str) -> Iterator[tuple[str, set[str] | None]]:
    """(code, names of the parameters, None where they are not literal) of each `Finding(...)`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding" and node.args:
            constants = [n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant)]
            codes = [value for value in constants if isinstance(value, str)]
            params = [k.value for k in node.keywords if k.arg == "params"] + node.args[2:3]
            names: set[str] | None = set()
            for value in params:
                keys = value.keys if isinstance(value, ast.Dict) else [None]
                known = [k.value for k in keys if isinstance(k, ast.Constant)]
                names = {str(k) for k in known} if len(known) == len(keys) else None
            yield from ((code, names) for code in codes)


def test_every_finding_is_worded_with_parameters_that_it_has():
    load_plugins()
    messages = known_metrics().messages
    found = [pair for f in SOURCES for p in f.rglob("*.py") for pair in given(p.read_text())]
    assert ("few_boxes", {"boxes"}) in found
    assert {code for code, _ in found} - set(messages) == set()
    for code, names in found:
        if names is not None and code in messages:
            worded = known_metrics().word(Finding(code, params=dict.fromkeys(names, 1)))
            assert worded != str(Finding(code, params=dict.fromkeys(names, 1))), (code, names)
