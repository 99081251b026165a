"""The augmentation of docs/writing-a-plugin.md, used by a suite from outside the tree."""

import json
import re
from pathlib import Path

import pytest
import torch
from tiny_suite import tiny, write_manifest

from harness import load_results
from harness.data.chain import build_chain, make_sample
from harness.manifest.schema import Train
from harness.plugin.manager import load_plugins

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-plugin.md"
MIXED = "[mosaic, fade, {use: grey, params: {p: 0.2}}, flip]"


def example(folder: Path, name: str = "greyish") -> Path:
    """The file, under a name of its own where it was loaded before."""
    [text] = re.findall(r'```\n("""greyish.py.*?)```', PAGE.read_text(), flags=re.DOTALL)
    (folder / f"{name}.py").write_text(text.replace("greyish", name))
    return folder / f"{name}.py"


def test_it_has_fifteen_lines(tmp_path: Path):
    lines = example(tmp_path).read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 15


@pytest.mark.slow
def test_the_example_trains_a_detector(cli, tmp_path: Path, data: Path):
    example(tmp_path)
    write_manifest(tmp_path / "m.yaml", data, [tiny()])
    done = cli(
        "run", "m.yaml", "--run-id", "r", "-p", "greyish.py",
        "--set", f"detectors.tiny.train.augment={MIXED}",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert set(load_results(tmp_path / "results" / "tiny" / "r")["status"]) == {"ok"}
    plan = json.loads((tmp_path / "results" / "tiny" / "r" / "plan.json").read_text())
    chosen = plan["detectors"]["tiny"]["train"]["augment"]
    assert [(one["use"], one["plugin"][0]) for one in chosen] == [
        ("mosaic", "recipes"), ("fade", "greyish"), ("grey", "greyish"), ("flip", "recipes"),
    ]  # fmt: skip
    assert chosen[2]["params"] == {"p": 0.2}


def test_it_does_what_it_says(tmp_path: Path):
    load_plugins([str(example(tmp_path, "greyish_again"))])
    augment = Train(augment=["fade", {"use": "grey", "params": {"p": 1.0}}]).augment
    chain = build_chain(augment, (64, 64), (0, 0, 0))
    colour = torch.tensor([200, 100, 0], dtype=torch.uint8)[:, None, None].expand(3, 8, 8)
    sample = make_sample(colour, torch.tensor([[1.0, 1, 5, 5]]), torch.tensor([0]))
    levels = set()
    for seed in range(10):
        torch.manual_seed(seed)
        image, target = chain(sample, lambda: sample)
        assert (image == image[:1]).all()
        assert target["boxes"].tolist() == [[1, 1, 5, 5]]
        levels.add(int(image[0, 0, 0]))
    assert len(levels) > 5
    assert 55 <= min(levels) <= max(levels) <= 119


def test_without_the_plugin_it_is_missed(cli, tmp_path: Path, data: Path):
    write_manifest(tmp_path / "m.yaml", data, [tiny()])
    done = cli("run", "m.yaml", "--set", "detectors.tiny.train.augment=fade")
    assert done.code == 2
    assert "train.augment.0.use: no augmentation is called 'fade'" in done.err.splitlines()[-1]
