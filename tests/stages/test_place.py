"""What every measurement says of the detector that was measured."""

from pathlib import Path

import pytest
import torch

import harness
from harness.manifest.schema import PRECISIONS
from harness.model.detector import Detector
from harness.modes.build import build_runner
from harness.records.measurement import Measurement
from harness.stages.context import with_place, with_runner

SUITE = Path(__file__).parents[2] / "suites" / "tinydet.yaml"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return harness.build(SUITE, "ssdlite320", classes=["a", "b", "c"])


def test_place_says_device_precision_classes_and_input(detector: Detector) -> None:
    (measured,) = with_place([Measurement("ap", 0.5)], detector)
    assert measured.conditions["device_type"] == "cpu"
    assert measured.conditions["precision"] == "float32"
    assert measured.conditions["classes"] == 3
    assert measured.conditions["input"] == {"kind": "squash", "height": 320, "width": 320}


def test_what_a_meter_says_stands_before_what_the_stage_knows(detector: Detector) -> None:
    own = Measurement("x", 1.0, conditions={"precision": "int8", "batch_size": 2})
    (measured,) = with_place([own], detector)
    assert measured.conditions["precision"] == "int8"
    assert measured.conditions["batch_size"] == 2


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_runner_says_the_precision_in_which_it_computes(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr("harness.modes.by_torch.lacking", lambda precision, device: None)
    runner = build_runner(detector.eval(), "eager", precision)
    (measured,) = with_runner([Measurement("x", 1.0)], runner)
    assert measured.conditions["precision"] == precision
    assert measured.conditions["mode"] == "eager"


def test_precision_is_that_of_the_weights(detector: Detector) -> None:
    (measured,) = with_place([Measurement("x", 1.0)], detector.to(torch.bfloat16))
    assert measured.conditions["precision"] == "bfloat16"
