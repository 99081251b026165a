"""The rooms of the house keep their order: docs/architecture.md says which may import which."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {p.stem for p in (ROOT / "harness").glob("*.py")}
TORCH_FREE = {"plugin", "manifest", "plan", "records", "results", "report"}
# on demand: environments are described by asking torch, and a new analysis needs a compiled op
ASKS_TORCH = {"records/environment.py", "results/ap/accumulate.py"}
# what authors of plugins import from a room below; nothing in harness may import it
DOORS = {"plugin/testing.py": "conformance"}


def rooms() -> list[str]:
    """In the order of the table in docs/architecture.md."""
    table = (ROOT / "docs" / "architecture.md").read_text()
    return re.findall(r"^\| `harness/(\w+)/`", table, flags=re.MULTILINE)


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, within functions or not; those for type checking left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def sources(room: str) -> list[Path]:
    return sorted((ROOT / "harness" / room).rglob("*.py"))


def test_every_room_stands_in_the_table():
    there = {p.name for p in (ROOT / "harness").iterdir() if (p / "__init__.py").is_file()}
    assert set(rooms()) == there
    assert len(rooms()) == len(set(rooms()))


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_rooms_above_it(room: str):
    order = rooms()
    allowed = {*order[: order.index(room) + 1], *FILES, ""}
    assert sources(room)
    for path in sources(room):
        door = DOORS.get(str(path.relative_to(ROOT / "harness")), "")
        for module in imports(path):
            first, _, rest = module.partition(".")
            assert first != "harness_plugins", f"{path}: the core knows no plugin"
            assert module != "harness.plugin.testing", f"{path}: a door is for authors"
            if first == "harness":
                assert rest.partition(".")[0] in {*allowed, door}, f"{path} imports {module}"


@pytest.mark.parametrize("room", sorted(TORCH_FREE))
def test_rooms_that_need_no_torch(room: str):
    for path in sources(room):
        if str(path.relative_to(ROOT / "harness")) not in ASKS_TORCH:
            assert not {m.partition(".")[0] for m in imports(path)} & {"torch", "torchvision"}, path


@pytest.mark.parametrize(
    "family", sorted(p.name for p in (ROOT / "plugins").iterdir() if (p / "__init__.py").is_file())
)
def test_families_of_plugins_do_not_know_each_other(family: str):
    for path in sorted((ROOT / "plugins" / family).rglob("*.py")):
        others = {m for m in imports(path) if m.startswith("harness_plugins.")}
        own = f"harness_plugins.{family}"
        assert all(m == own or m.startswith(own + ".") for m in others), path
