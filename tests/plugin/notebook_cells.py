"""Runs the cells of a notebook as a kernel would; prints what each shows, as HTML where it has it.

By itself: `python tests/plugin/notebook_cells.py NOTEBOOK`.
"""

import ast
import json
import sys
from pathlib import Path
from typing import Any


def run_cells(path: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        if cell["cell_type"] != "code":
            continue
        where = f"{path.name}, cell {number}"
        body = ast.parse("".join(cell["source"]), where).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), where, "exec"), names)
        if last is not None:
            show(eval(compile(ast.Expression(last.value), where, "eval"), names))


def show(value: object) -> None:
    if value is not None:
        html = getattr(value, "_repr_html_", None)
        print(repr(value) if html is None else html())


if __name__ == "__main__":
    sys.path[0] = ""  # as a kernel's: wherever it is then
    run_cells(Path(sys.argv[1]).absolute())
