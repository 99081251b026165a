"""Tests of any folders can be started in one call: their modules have names of their own."""

from collections import Counter
from pathlib import Path

import pytest
from test_rooms import imports

TESTS = Path(__file__).parent
SOURCES = sorted(TESTS.rglob("*.py"))
FOLDERS = {path.stem: path.parent for path in SOURCES if path.stem != "conftest"}


def test_no_two_modules_have_one_name():
    """pytest imports by bare names: of two modules with one name a process sees the first."""
    names = Counter(path.stem for path in SOURCES if path.stem != "conftest")
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(TESTS)))
def test_helpers_are_found_whatever_else_runs(path: Path):
    """Importable in every call are a file's own folder and those above it that have a conftest."""
    names = set(imports(path))
    assert "conftest" not in names, "which conftest that is depends on what else runs"
    folders = {FOLDERS[name] for name in names if name in FOLDERS}
    above = {folder for folder in path.parents if (folder / "conftest.py").is_file()}
    assert folders <= {path.parent, *above}
