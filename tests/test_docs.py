"""Hooks, their documentation and their shipped users cannot drift apart; the example runs."""

import re
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.plugin import hookspecs
from harness.plugin.manager import load_plugins

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("harness_"))
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def hook_sections():
    _, *parts = re.split(r"^## (\w+)$", (DOCS / "hooks.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def shipped_line(text):
    """The section's "Shipped:" line as {plugin: {names}}."""
    line = re.search(r"^Shipped: (.+)\.$", text, flags=re.MULTILINE).group(1)
    users = re.findall(r"`(\w+)` \(([^)]+)\)", line)
    return {plugin: set(re.findall(r"`([\w-]+)`", names)) for plugin, names in users}


def code_block(page, language):
    return re.search(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL).group(1)


@pytest.fixture(scope="module")
def registry():
    return load_plugins()


def test_there_are_hooks():
    assert {"harness_backbones", "harness_meters", "harness_sections"} <= set(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook):
    assert hook in hook_sections()


def test_every_documented_hook_exists():
    assert set(hook_sections()) <= set(HOOKS)


def test_contributors_are_told_where_to_begin_with_each_kind():
    table = (ROOT / "CONTRIBUTING.md").read_text()
    assert [hook for hook in HOOKS if f"`{hook}`" not in table] == []


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_names_its_shipped_users(hook, registry):
    declaration = hookspecs.__dict__[hook].__annotations__["return"].__args__[0]
    shipped = {}
    for entry in registry.entries(declaration.kind):
        name = entry.provider.name
        if name == "harness" or (ROOT / "plugins" / name).is_dir():
            shipped.setdefault(name, set()).add(entry.declaration.name)
    assert shipped, f"nothing that is shipped implements {hook}"
    text = hook_sections()[hook]
    assert shipped_line(text) == shipped
    assert f"`{declaration.__name__}`:" in text


@pytest.mark.parametrize(
    "page", sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md")]), ids=lambda p: p.name
)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_example_plugin_builds_its_suite(tmp_path):
    page = DOCS / "writing-a-plugin.md"
    plugin, suite = tmp_path / "strided.py", tmp_path / "my_suite.yaml"
    plugin.write_text(code_block(page, "python"))
    suite.write_text(code_block(page, "yaml"))
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for name, width in (("narrow", 16), ("wide", 48)):
        detector = harness.build(suite, name, classes=3, plugins=[str(plugin)])
        assert [f.channels for f in detector.backbone.out_features] == [width, width]
        (found,) = detector.predict([image])
        assert found["boxes"].shape[1] == 4


def test_the_example_plugin_has_twenty_lines():
    lines = code_block(DOCS / "writing-a-plugin.md", "python").splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 20
