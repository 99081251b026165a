"""Hooks of mkdocs: pages from outside of docs/, README as the first, and the links to them."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FIRST = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)[^)#\s]+")


def place(path: Path) -> str:
    """Where in the site a file of the repository lies; a folder is its README."""
    if path.is_dir():
        path /= "README.md"
    if path == ROOT / "README.md":
        return "index.md"
    return path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()


def targets(source: Path) -> Iterator[Path]:
    for link in LINK.findall(source.read_text()):
        path = (source.parent / link).resolve()
        yield path / "README.md" if path.is_dir() else path


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside of docs/ and is linked from a page, directly or through others."""
    waiting, seen = [*FIRST, *DOCS.glob("*.md")], set[Path]()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():  # a link to nothing is a warning of mkdocs's own
            continue
        seen.add(path)
        if path.suffix == ".md":
            waiting += targets(path)
        if not path.is_relative_to(DOCS):
            files.append(File.generated(config, place(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files of the repository become links between pages of the site."""
    source, folder = Path(str(page.file.abs_src_path)), posixpath.dirname(page.file.src_uri)

    def move(link: re.Match[str]) -> str:
        path = (source.parent / link[0]).resolve()
        if not path.is_relative_to(ROOT):
            return link[0]
        return posixpath.relpath(place(path), folder or ".")

    return LINK.sub(move, markdown)
