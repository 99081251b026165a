"""Plugins from outside the tree: modules, files and installed distributions, as text."""

from pathlib import Path

DECLARING = """\
from harness.plugin.declarations import {kind}, Params
from harness.plugin.hookspecs import hookimpl


class {kind}Params(Params):
    width: int = 8


@hookimpl
def {hook}():
    return [{kind}(name="{name}", target="{module}:build", params={kind}Params, summary="a test")]


def build(**params):
    return params
"""


def declaring(
    module: str, name: str, kind: str = "Backbone", hook: str = "harness_backbones"
) -> str:
    """Source of a module that offers one thing."""
    return DECLARING.format(module=module, name=name, kind=kind, hook=hook)


def install(site: Path, module: str, source: str, version: str = "1.0") -> None:
    """What `pip install` leaves behind in a site-packages folder: a package and its metadata."""
    package, metadata = site / module, site / f"{module}-{version}.dist-info"
    package.mkdir(parents=True)
    metadata.mkdir()
    (package / "__init__.py").write_text(source)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {module}\nVersion: {version}\n"
    )
    (metadata / "entry_points.txt").write_text(f"[harness]\n{module} = {module}\n")
