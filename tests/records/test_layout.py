"""The files of a run folder are named at one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import harness
from harness.records import layout

SOURCES = Path(harness.__file__).parent
NAMES = {
    value
    for name, value in vars(layout).items()
    if name.isupper() and isinstance(value, str) and "." in value
}


def strings(source: str) -> Iterator[str]:
    """Every string that code makes use of: no docstrings."""
    tree = ast.parse(source)
    documented = [n for n in ast.walk(tree) if isinstance(n, ast.Expr)]
    docstrings = {id(n.value) for n in documented}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and id(node) not in docstrings:
            yield text


def named(text: str) -> set[str]:
    """Files of a run folder that a string is, or that a path in it leads to."""
    return {text.rpartition("/")[2]} & NAMES if " " not in text else set()


def test_no_other_module_names_a_file_of_a_run_folder():
    assert {"plan.json", "records.jsonl", "checkpoint.pt"} <= NAMES
    assert named("*/plan.json") == {"plan.json"}
    assert named("report.html in the run's folder") == set(), "a message"
    found = {
        str(path.relative_to(SOURCES)): names
        for path in SOURCES.rglob("*.py")
        if (names := {n for text in strings(path.read_text()) for n in named(text)})
    }
    assert found == {"records/layout.py": NAMES}


def test_cells_are_found_by_their_files(tmp_path: Path):
    for detector, seed in (("b", 10), ("b", 2), ("a", 0)):
        folder = layout.cell_folder(tmp_path, detector, seed)
        folder.mkdir(parents=True)
        (folder / layout.DETECTIONS).touch()
    (tmp_path / layout.CELLS / "a" / "seedy").mkdir()
    (tmp_path / layout.CELLS / "a" / "seedy" / layout.DETECTIONS).touch()
    found = [(d, s) for d, s, _ in layout.cells_with(tmp_path, layout.DETECTIONS)]
    assert found == [("a", 0), ("b", 2), ("b", 10)]
    assert not list(layout.cells_with(tmp_path, layout.TRAIN_LOG))
