"""An optimiser and a schedule from outside the tree train a detector."""

from pathlib import Path

import pytest
from tiny_suite import tiny, write_manifest

from harness.files import read_json_lines
from harness.plugin.manager import load_plugins

PLUGIN = """\
from harness.plugin import Optimizer, Params, Schedule, Span, hookimpl

class SignParams(Params):
    lr: float = 0.5
    weight_decay: float = 0.0
    alpha: float = 0.9

class HalvingParams(Params):
    every: Span = "1 epoch"

@hookimpl
def harness_optimizers():
    return [Optimizer("rms", "rms_halving:rms", SignParams, "RMSprop")]

@hookimpl
def harness_schedules():
    return [Schedule("halving", "rms_halving:halving", HalvingParams, "halves")]

def rms(model, **params):
    import torch
    return torch.optim.RMSprop(model.parameters(), **params)

def halving(every):
    return lambda step, length, lr: lr * 0.5 ** (step // length.of(every))
"""


def test_they_train_and_are_told(cli, tmp_path: Path, data: Path):
    (tmp_path / "rms_halving.py").write_text(PLUGIN)
    write_manifest(tmp_path / "m.yaml", data, [tiny()])
    sets = [
        "detectors.tiny.train={steps: 6, batch_size: 2, workers: 0, augment: none, log_every: 1, "
        "optimizer: {name: rms, lr: 0.25}, schedule: halving}",
        "stages=[train]",
    ]
    given = [word for one in sets for word in ("--set", one)]
    done = cli("run", "m.yaml", "--run-id", "r", "-p", "rms_halving.py", *given)
    assert done.code == 0, done.err
    folder = tmp_path / "results" / "tiny" / "r"
    [log] = folder.rglob("train_log.jsonl")
    assert [line["lr"] for line in read_json_lines(log)] == [
        0.25,
        0.25,
        0.125,
        0.125,
        0.0625,
        0.0625,
    ]
    done = cli("plan", "m.yaml", "-p", "rms_halving.py", *given, "--set",
               "detectors.tiny.train.optimizer.alhpa=1")  # fmt: skip
    assert done.code == 2
    assert "train.optimizer.alhpa: unknown key 'alhpa' (did you mean 'alpha'?" in done.err


@pytest.mark.parametrize("missing", ["lr", "weight_decay"])
def test_an_optimiser_says_its_rate_and_decay(tmp_path: Path, missing: str):
    text = PLUGIN.replace(f"    {missing}: float", f"    {missing}_: float")
    (tmp_path / f"without_{missing}.py").write_text(text)
    registry = load_plugins([str(tmp_path / f"without_{missing}.py")])
    [failed] = registry.failed
    assert failed.error == f"ValueError: the params of optimizer 'rms' have no '{missing}'"
