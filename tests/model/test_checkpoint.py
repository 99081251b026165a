"""Weights from files that are old, partial, foreign, broken or hostile."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.model.checkpoint import (
    Checkpoint,
    load_backbone,
    load_detector,
    load_weights,
    read_checkpoint,
)


def small_detector(classes: int = 3, width: int = 4) -> nn.Module:
    torch.manual_seed(classes)
    backbone = nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))
    return nn.ModuleDict({"backbone": backbone, "head": nn.Linear(width, classes)})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def saved(content: object, file: Path) -> Checkpoint:
    torch.save(content, file)
    return read_checkpoint(file)


def refusal(call: object, *args: object) -> str:
    with pytest.raises(UserError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


WRAPPINGS = {
    "raw": lambda state: state,
    "with meta": lambda state: {"state_dict": state, "meta": {"CLASSES": ("a", "b", "c")}},
    "without meta": lambda state: {"state_dict": state},
    "with junk meta": lambda state: {"state_dict": state, "meta": None, "epoch": 3},
    "parallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "lightning": lambda state: {
        "state_dict": {
            **{f"model.{k}": torch.zeros_like(v) for k, v in state.items()},
            **{f"avg_model.{k}": v for k, v in state.items()},
        },
        "epoch": 3,
    },
    "lightning without an average": lambda state: {
        "state_dict": {f"model.{k}": v for k, v in state.items()}
    },
    "below model": lambda state: {"model": state, "epoch": 3},
    "below model_state_dict": lambda state: {"model_state_dict": state, "optimizer": {}},
    "compiled": lambda state: {f"_orig_mod.{k}": v for k, v in state.items()},
    "compiled, below Lightning's": lambda state: {
        "state_dict": {f"model._orig_mod.{k}": v for k, v in state.items()}
    },
    "parallel with meta": lambda state: {"state_dict": WRAPPINGS["parallel"](state)},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("legacy", [False, True])
def test_every_wrapping_loads(wrapping: str, legacy: bool, file: Path):
    source, target = small_detector(), small_detector(classes=3)
    nn.init.normal_(source["head"].weight)
    content = WRAPPINGS[wrapping](source.state_dict())
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    checkpoint = read_checkpoint(file)
    report = load_detector(target, checkpoint)
    assert report.complete
    assert report.loaded == len(source.state_dict())
    for name, value in source.state_dict().items():
        assert torch.equal(value, target.state_dict()[name])
    assert (checkpoint.meta.get("CLASSES") is not None) == (wrapping == "with meta")


def test_names_that_begin_like_a_wrapper_stay(file: Path):
    target = nn.ModuleDict({"model": nn.Linear(2, 2)})
    assert load_detector(target, saved(target.state_dict(), file)).complete


@pytest.mark.parametrize("wrapping", ["raw", "lightning"])
def test_a_backbone_from_any_wrapping(wrapping: str, file: Path):
    source, target = small_detector(classes=5), small_detector()
    report = load_backbone(
        target["backbone"], saved(WRAPPINGS[wrapping](source.state_dict()), file)
    )
    assert report.complete
    assert torch.equal(source["backbone"][0].weight, target["backbone"][0].weight)


def test_what_only_training_needs_may_be_missing(file: Path):
    target = small_detector()
    target.training_only = ("head.",)
    state = {k: v for k, v in small_detector(5).state_dict().items() if k.startswith("backbone")}
    checkpoint = saved(state, file)
    assert load_detector(target, checkpoint).complete
    # a training that starts from the file is told
    assert set(load_weights(target, checkpoint).missing) == {"head.weight", "head.bias"}
    target.training_only = ()
    assert "missing in the file: head.weight" in refusal(load_detector, target, checkpoint)


def test_the_hash_is_of_the_bytes(file: Path):
    first = saved(small_detector(3).state_dict(), file).sha256
    assert len(first) == 16
    assert saved(small_detector(4).state_dict(), file).sha256 != first
    assert saved(small_detector(3).state_dict(), file).sha256 == first


class Hostile:
    """Unpickled, it would run a command."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> object:
        import os

        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("place", ["whole", "value", "meta", "plain pickle"])
def test_a_hostile_file_is_not_run(place: str, file: Path, tmp_path: Path):
    target = tmp_path / "executed"
    state: dict[str, object] = dict(small_detector().state_dict())
    if place == "plain pickle":
        file.write_bytes(pickle.dumps(Hostile(target), protocol=2))
    else:
        hostile = Hostile(target)
        content = {
            "whole": hostile,
            "value": {**state, "x": hostile},
            "meta": {"state_dict": state, "meta": {"author": hostile}},
        }[place]
        torch.save(content, file)
    line = refusal(read_checkpoint, file)
    assert "it could run code" in line
    assert str(file) in line
    assert not target.exists()


@pytest.mark.parametrize("protocol", [0, 1, 4, 5])
def test_a_hostile_pickle_of_any_protocol_is_not_run(protocol: int, file: Path, tmp_path: Path):
    file.write_bytes(pickle.dumps(Hostile(tmp_path / "executed"), protocol=protocol))
    refusal(read_checkpoint, file)
    assert not (tmp_path / "executed").exists()


def test_the_hostile_file_would_have_run(file: Path, tmp_path: Path):
    target = tmp_path / "executed"
    torch.save(Hostile(target), file)
    torch.load(file, weights_only=False)
    assert target.exists()


def test_a_whole_pickled_module_is_refused_with_what_to_do(file: Path):
    torch.save(small_detector(), file)
    assert "save only the state dict" in refusal(read_checkpoint, file)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file(share: float, legacy: bool, file: Path):
    torch.save(small_detector().state_dict(), file, _use_new_zipfile_serialization=not legacy)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    assert str(file) in refusal(read_checkpoint, file)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 64, b"no checkpoint\n", b"\x80\x02}q\x00.", b"\x89PNG\r\n", b"PK\x03\x04"],
)  # fmt: skip
def test_a_file_that_is_something_else(content: bytes, file: Path):
    file.write_bytes(content)
    assert str(file) in refusal(read_checkpoint, file)


@pytest.mark.parametrize("step", range(0, 2000, 97))
def test_flipped_bytes_are_refused_or_harmless(step: int, file: Path):
    """Whatever is damaged, nothing but a UserError comes out."""
    torch.save(small_detector().state_dict(), file)
    content = bytearray(file.read_bytes())
    for i in range(step, min(step + 40, len(content))):
        content[i] ^= 0xFF
    file.write_bytes(content)
    try:
        load_weights(small_detector(), read_checkpoint(file))
    except UserError as error:
        line = str(error)
    else:
        line = str(file)
    assert str(file) in line


def test_missing_and_unreadable(tmp_path: Path):
    assert "no such checkpoint" in refusal(read_checkpoint, tmp_path / "none.pth")
    assert "no such checkpoint" in refusal(read_checkpoint, tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, "holds nothing, not a state dict"),
        ([torch.zeros(1)], "holds list, not a state dict"),
        (torch.zeros(1), "holds Tensor, not a state dict"),
        ({"state_dict": {}}, "has an entry that is not a tensor: 'state_dict'"),
        ({"a": 1.0}, "has an entry that is not a tensor: 'a'"),
        ({1: torch.zeros(1)}, "has an entry that is not a tensor: 1"),
        ({"weights": {"a": torch.zeros(1)}}, "has an entry that is not a tensor: 'weights'"),
    ],
)
def test_what_is_no_state_dict(content: object, expected: str, file: Path):
    torch.save(content, file)
    assert expected in refusal(read_checkpoint, file)


def test_a_checkpoint_of_another_detector_is_refused_by_name(file: Path):
    checkpoint = saved(small_detector(width=8).state_dict(), file)
    line = refusal(load_detector, small_detector(width=4), checkpoint)
    assert "is for another detector: " in line
    assert "shape differs: backbone.0.weight ((8, 3, 1, 1) in the file, (4, 3, 1, 1) here)" in line


def test_a_wrong_number_of_classes(file: Path):
    checkpoint = saved(small_detector(classes=80).state_dict(), file)
    target = small_detector(classes=3)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    line = refusal(load_detector, target, checkpoint)
    assert "head.weight ((80, 4) in the file, (3, 4) here)" in line
    assert "number of classes" in line
    assert all(torch.equal(v, target.state_dict()[k]) for k, v in before.items())


def test_missing_and_surplus_entries_are_listed(file: Path):
    state: dict[str, Tensor] = dict(small_detector().state_dict())
    del state["head.bias"]
    state["extra.weight"] = torch.zeros(1)
    report = load_weights(small_detector(), saved(state, file))
    assert report.missing == ("head.bias",)
    assert report.unexpected == ("extra.weight",)
    assert report.lines() == [
        "missing in the file: head.bias",
        "unknown to the detector: extra.weight",
    ]
    assert "2 do not" in refusal(load_detector, small_detector(), read_checkpoint(file))


def test_old_files_without_batch_counters_are_complete(file: Path):
    state = {k: v for k, v in small_detector().state_dict().items() if "num_batches" not in k}
    assert load_detector(small_detector(), saved(state, file)).complete


def test_nothing_fits(file: Path):
    checkpoint = saved({"layer1.weight": torch.zeros(2), "fc.bias": torch.zeros(3)}, file)
    line = refusal(load_weights, small_detector(), checkpoint)
    assert "matches nothing in this detector: it has layer1.weight, fc.bias" in line


def test_a_backbone_file_fits_the_backbone_and_its_classifier_is_listed(file: Path):
    source = small_detector()
    state = {**source["backbone"].state_dict(), "classifier.weight": torch.zeros(1000, 4)}
    target = small_detector()
    report = load_backbone(target["backbone"], saved(state, file))
    assert report.missing == ()
    assert report.unexpected == ("classifier.weight",)
    assert torch.equal(target["backbone"][0].weight, source["backbone"][0].weight)


def test_a_whole_detectors_file_gives_its_backbone(file: Path):
    source, target = small_detector(), small_detector(classes=7)
    report = load_backbone(target["backbone"], saved(source.state_dict(), file))
    assert report.complete
    assert torch.equal(target["backbone"][0].weight, source["backbone"][0].weight)


def test_a_backbone_file_that_fits_nothing(file: Path):
    checkpoint = saved({"stem.weight": torch.zeros(1)}, file)
    assert "matches nothing" in refusal(load_backbone, small_detector()["backbone"], checkpoint)


def test_half_precision_and_shared_storage_load(file: Path):
    base = torch.randn(8)
    state = {"weight": base[:4].half().view(1, 4), "bias": base[4:5]}
    report = load_detector(nn.Linear(4, 1), saved(state, file))
    assert report.complete
