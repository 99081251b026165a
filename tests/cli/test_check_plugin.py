"""`harness check-plugin`."""

import re
import sys
from pathlib import Path

import pytest
import warm_processes
from tiny_suite import environment
from tiny_suite import harness as harness_process

DOCS = Path(__file__).parents[2] / "docs"
GOOD = """
import harness
from harness.plugin import Backbone, Executor, NoParams, Params

class WidthParams(Params):
    width: int

@harness.hookimpl
def harness_backbones():
    return [
        Backbone("{name}", "{name}:build", NoParams, "one map"),
        Backbone("{name}_wide", "{name}:build", WidthParams, "one map"),
        {more}
    ]

def build(width=4):
    from harness.model.features import FeatureSpec
    from torch import nn

    class One(nn.Module):
        out_features = (FeatureSpec("c3", 4, 8),)

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, width, 8, 8)

        def forward(self, pixels):
            return [self.conv(pixels)]

    return One()
"""


def write(folder: Path, name: str, more: str = "") -> Path:
    path = folder / f"{name}.py"
    path.write_text(GOOD.format(name=name, more=more))
    return path


def test_one_wrong_part_before_right_ones_is_a_failure(cli, tmp_path: Path):
    wrong = 'Backbone("a_first", "{name}:no_such_function", NoParams, "first by name"),'
    name = "check_first"
    done = cli("check-plugin", "-p", write(tmp_path, name, wrong.format(name=name)))
    assert done.code == 1
    words = [line.split()[2] for line in done.out.splitlines() if "backbone '" in line]
    assert words[:2] == ["wrong", "passes"]


def test_a_good_plugin(cli, tmp_path: Path):
    done = cli("check-plugin", "-p", write(tmp_path, "check_good"))
    assert done.code == 0, done.err
    one, wide = [line for line in done.out.splitlines() if "backbone '" in line]
    assert one.rstrip().split(maxsplit=3)[2:] == [
        "passes",
        "macs_paper 0.2964 MMACs, parameters 0.000772 M at 128x192",
    ]
    assert "not checked" in wide
    assert "has no default for width: give it by --set" in wide


def test_what_is_wrong_is_named_and_the_exit_code_is_1(cli, tmp_path: Path):
    more = 'Backbone("lost", "check_wrong:nothing", NoParams, "no target"),'
    file = write(tmp_path, "check_wrong", more)
    done = cli("check-plugin", "-p", file, "--set", "check_wrong_wide.width=6")
    assert done.code == 1
    text = " ".join(done.out.split())
    assert "level 0 (c3) says 4 channels, and gives 6" in text
    assert "check_wrong:nothing cannot be imported: AttributeError" in text
    assert text.count("' wrong ") == 2
    assert text.count("' passes ") == 1


def test_a_plugin_that_does_not_load_is_wrong(cli, tmp_path: Path):
    (tmp_path / "check_broken.py").write_text("import nothing_of_this_name")
    done = cli("check-plugin", "-p", "check_broken.py")
    assert done.code == 1
    assert "does not load: ModuleNotFoundError" in done.out


def test_mistakes_of_the_user(cli, tmp_path: Path):
    (tmp_path / "check_empty.py").write_text("")
    file = write(tmp_path, "check_sets")
    for arguments, told in {
        ("-p", "check_empty.py"): "-p check_empty.py: offers nothing",
        ("-p", "check_missing.py"): "-p check_missing.py: no such file",
        ("-p", file, "--set", "width=3"): "--set width=3: is not NAME.PARAM=VALUE",
        ("-p", file, "--set", "check_set.width=3"): "did you mean 'check_sets'?",
        ("-p", file, "--set", "check_sets.width=3"): "width: Extra inputs are not permitted",
    }.items():
        done = cli("check-plugin", *arguments)
        assert done.code == 2
        assert told in done.mistake


@pytest.mark.slow
def test_the_example_of_the_docs_passes(tmp_path: Path):
    page = (DOCS / "writing-a-plugin.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, flags=re.DOTALL).group(1)
    (tmp_path / "strided.py").write_text(code)
    done = harness_process("check-plugin", "-p", "strided.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "backbone 'strided'  passes" in done.stdout
    test = re.search(r"```text\n(from harness.plugin.testing.*?)```", page, flags=re.DOTALL).group(
        1
    )
    given = f"{test}\ntest_strided()"
    (tmp_path / "try_it.py").write_text(given)
    command = [sys.executable, "try_it.py"]
    done = warm_processes.run(command, cwd=tmp_path, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
