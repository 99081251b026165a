"""`harness new`: the package of a plugin, to begin from."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Kind(StrEnum):
    """What there is a beginning of; the folders of templates/."""

    backbone = "backbone"
    neck = "neck"
    head = "head"
    roi_op = "roi_op"
    meter = "meter"
    section = "section"
    mode = "mode"
    reader = "reader"
    recipe = "recipe"


TITLES = {Kind.head: "dense head", Kind.roi_op: "RoI op", Kind.section: "section of the page"}
# of those that no suite chooses: what to look at instead
LOOK = {Kind.section: "report RUN", Kind.reader: "doctor --data ROOT"}
NAMES = r"[a-z][a-z0-9_]*"


def new(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help=", ".join(Kind) + ".")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the plugin and its package.")],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Where its folder is made.")] = Path(),
) -> None:
    """Write a package with a plugin that works: declaration, code, test and suite."""
    import jinja2

    import harness
    from harness.errors import UserError
    from harness.files import write_text

    _check_name(name)
    folder = to / name
    if folder.exists():
        raise UserError("exists already", where=folder, hint="another name, or another --to")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.cli"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    title = TITLES.get(kind, kind.value)
    shown = {
        "kind": kind.value,
        "name": name,
        "class": "".join(part.capitalize() for part in name.split("_")),
        "title": title,
        "article": "an" if title[0] in "aeiou" else "a",
        "version": harness.__version__,
        "look": LOOK.get(kind, "run suite.yaml"),
    }
    for template in environment.list_templates():
        target = _target(template, kind, name)
        if target:
            write_text(folder / target, environment.get_template(template).render(shown))
    print(
        f"{folder}: `pip install -e {folder}`, then `pytest {folder}`; {folder}/README.md goes on"
    )


def _target(template: str, kind: Kind, name: str) -> str:
    """Where in the package what a template makes belongs; "" for those of other kinds."""
    folder, _, file = template.removesuffix(".jinja").rpartition("/")
    if not folder:
        return "" if kind in LOOK and file == "suite.yaml" else file
    if folder != kind:
        return ""
    return {"declaration.py": f"{name}/__init__.py", "test.py": f"tests/test_{name}.py"}.get(
        file, f"{name}/{file}"
    )


def _check_name(name: str) -> None:
    """Raises UserError unless a package can be called so, and none is that can be imported."""
    import re
    from importlib.util import find_spec
    from keyword import iskeyword

    from harness.errors import UserError

    if not re.fullmatch(NAMES, name) or iskeyword(name):
        raise UserError(
            f"'{name}' is not the name of a package", hint="small letters, digits and _"
        )
    if find_spec(name) is not None:
        raise UserError(f"there is a package '{name}' already", hint="choose another name")
