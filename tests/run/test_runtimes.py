"""A runtime from outside is a mode like any other: declared, planned, checked, timed, reported."""

import re
from pathlib import Path

import pytest
from tiny_suite import tiny, write_manifest

from harness import load_results

PAGE = Path(__file__).parents[2] / "docs" / "runtimes.md"
LATENCY = "latency_end_to_end_p50"


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin that docs/runtimes.md shows."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert code is not None
    path = tmp_path_factory.mktemp("runtime") / "frozen.py"
    path.write_text(code.group(1))
    return path


@pytest.fixture(autouse=True)
def manifest(tmp_path: Path, data: Path) -> Path:
    return write_manifest(tmp_path / "m.yaml", data, [tiny("one")])


def test_a_runtime_of_a_file_is_timed_and_checked_like_any_mode(cli, tmp_path: Path, frozen: Path):
    choice = ("--modes", "eager,frozen", "--run-id", "r")
    done = cli("run", "m.yaml", "-p", frozen, *choice)
    assert done.code == 0, done.err
    frame = load_results(tmp_path / "results" / "tiny" / "r")
    own = frame[frame["mode"] == "frozen"].set_index("metric")
    assert own.loc["mode_agreement", "value"] == 1.0
    assert own.loc[LATENCY, "value"] > 0
    assert '"runtime": "torch ' in own.loc[LATENCY, "conditions"]
    assert "frozen" in done.out


def test_it_is_listed_and_described(cli, frozen: Path):
    assert "frozen  " in cli("list", "mode", "-p", frozen).out
    described = cli("describe", "frozen", "-p", frozen).out
    assert "mode, by plugin 'frozen'" in described
    assert "without autograd's records" in described


def test_what_it_lacks_is_an_error_where_it_was_asked_for(
    cli, frozen: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("harness.modes.by_torch.lacking", lambda precision, device: None)
    named = ("--modes", "eager,frozen", "--precisions", "bfloat16", "--stages", "latency")
    for choice in (named, ("--set", "latency.modes=[frozen]", *named[2:])):
        done = cli("run", "m.yaml", "-p", frozen, *choice)
        assert done.code == 2
        assert done.mistake == (
            "the mode 'frozen' cannot run on this device (cpu): frozen graphs are for processors, "
            "in float32 (--modes all takes those that can)"
        )
