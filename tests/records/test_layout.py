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
    assert {"plan.json", "results.csv", "checkpoint.pt"} <= NAMES
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


def test_the_records_of_all_cells_are_found_and_nothing_else(tmp_path: Path):
    cells = [("a", 0, "latency", "fused"), ("a", 10, "train", ""), ("b", 2, "evaluate", "")]
    for cell in cells:
        path = layout.records_file(tmp_path, *cell)
        path.parent.mkdir(parents=True)
        path.touch()
        path.with_suffix(".lock").touch()
        path.with_name(f".{path.name}.12.tmp").touch()  # a killed writer left it
        (path.parents[1] / layout.TRAIN_LOG).touch()
    found = layout.records_files(tmp_path)
    assert found == [layout.records_file(tmp_path, *cell) for cell in cells]
    names = [str(path.relative_to(tmp_path / layout.CELLS)) for path in found]
    assert names[:2] == ["a/seed0/records/latency_fused.jsonl", "a/seed10/records/train.jsonl"]


def test_a_run_has_a_plan_or_records(tmp_path: Path):
    planned, bare, begun = (tmp_path / name for name in ("planned", "bare", "begun"))
    planned.mkdir()
    (planned / layout.PLAN).touch()
    records = layout.records_file(bare, "a", 0, "cost", "")
    records.parent.mkdir(parents=True)
    records.touch()
    layout.cell_folder(begun, "a", 0).mkdir(parents=True)
    assert [layout.is_run(f) for f in (planned, bare, begun, tmp_path)] == [1, 1, 0, 0]
    assert layout.runs_in(tmp_path) == [bare, planned]
    assert layout.runs_in(bare) == [bare]

    suites = tmp_path / "suites"
    suites.mkdir()
    for run in (planned, bare):
        (suites / "one").mkdir(exist_ok=True)
        run.rename(suites / "one" / run.name)
    assert layout.runs_in(suites) == []
    found = layout.runs_in(suites, depth=2)
    assert found == [suites / "one" / name for name in ("bare", "planned")]
