"""What must be quick does not import what is slow: sys.modules of real processes."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_suite import make_coco

pytestmark = pytest.mark.slow

HEAVY = {"torch", "torchvision", "timm", "pandas", "accelerate", "fvcore", "plotly", "pycocotools"}
SUITE = str(Path(__file__).parents[2] / "suites" / "tinydet.yaml")
SCRIPT = """
import sys
sys.argv = ["harness", *{arguments!r}]
try:
    {statement}
except SystemExit as stop:
    assert not stop.code, stop.code
print("MODULES", *sorted(sys.modules))
"""


def modules_of(arguments: list[str], statement: str, cwd: Path) -> set[str]:
    """Top-level modules that a process had imported when it was done."""
    script = SCRIPT.format(arguments=arguments, statement=statement)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()[1:]}


MAIN = "from harness.cli import main; main()"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list"], ["describe", "tiny_fpn"], ["plan", SUITE], ["plan", SUITE, "--json"]],
    ids=" ".join,
)  # fmt: skip
def test_commands_that_import_no_torch(arguments: list[str], tmp_path: Path):
    assert not modules_of(arguments, MAIN, tmp_path) & HEAVY


def test_help_imports_no_tables_and_no_plugins(tmp_path: Path):
    names = modules_of(["--help"], MAIN, tmp_path)
    assert not names & {"harness_plugins", "pydantic", "yaml", "numpy"}


def test_importing_the_package_imports_nothing_else(tmp_path: Path):
    names = modules_of([], "import harness; harness.__version__", tmp_path)
    assert not names & {*HEAVY, "numpy", "pydantic", "yaml", "typer", "rich", "pluggy"}


def test_a_cell_imports_no_compiler(tmp_path: Path):
    """Nor what brings one along: half of the time that a process of its own takes to begin."""
    parts = ["harness_plugins.tinydet.rpn", "harness_plugins.roi_ops.pooling"]
    names = modules_of([], f"import harness.run.single, {', '.join(parts)}", tmp_path)
    assert "torch" in names
    assert not names & {"torchvision", "sympy", "triton", "pandas", "plotly"}


def test_a_plan_of_real_data_imports_no_torch(tmp_path: Path):
    root = make_coco(tmp_path / "coco")
    arguments = ["plan", SUITE, "--data", str(root)]
    assert not modules_of(arguments, MAIN, tmp_path) & HEAVY


def test_planning_writes_and_makes_nothing(tmp_path: Path):
    """Not even the synthetic set."""
    folder = tmp_path / "home"
    folder.mkdir()
    statement = f"import os; os.environ['XDG_CACHE_HOME'] = {str(folder)!r}; {MAIN}"
    modules_of(["plan", SUITE], statement, folder)
    assert list(folder.iterdir()) == []
