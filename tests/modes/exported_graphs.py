"""ONNX Runtime and OpenVINO compute what eager computes, or say why they cannot."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from mode_detectors import build, draw_images
from torch import Tensor

import harness
from harness.errors import CellError, UserError
from harness.model.detector import Detector
from harness.modes.build import build_runner, unavailable
from harness_plugins.runtimes import exported
from harness_plugins.runtimes.export import fill, tensors_of

RUNTIMES = ("onnxruntime", "openvino")
OTHERS = {
    "yolox_nano": "suites/yolox.yaml",
    "nanodet_plus_m_320": "suites/budget.yaml",
    "picodet_s_320": "suites/budget.yaml",
    "thundernet_snet49": "suites/budget.yaml",
    "retina_small": "suites/budget.yaml",
}


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def make(name: str) -> Detector:
    if name not in OTHERS:
        return build(name)
    torch.manual_seed(0)
    return harness.build(OTHERS[name], name, classes=4).eval()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return make("tinydet_s")


def assert_close(found: Any, wanted: Any) -> None:
    ours, theirs = tensors_of(found), tensors_of(wanted)
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("yolox_nano", "onnxruntime"),
        ("nanodet_plus_m_320", "openvino"),
        ("picodet_s_320", "onnxruntime"),
        ("retina_small", "onnxruntime"),
        ("ssdlite320", "onnxruntime"),
    ],
)
def test_a_one_stage_network_is_one_graph_with_the_outputs_of_eager(name: str, mode: str) -> None:
    whole = make(name)
    eager, runner = build_runner(whole), build_runner(whole, mode)
    with torch.inference_mode():  # as the stage
        inputs = eager.prepare(draw_images(1))
        assert_close(runner.network(inputs), eager.network(inputs))
    assert runner.conditions["runtime"].startswith(f"{mode} ")
    assert runner.conditions["segments"] == ["network"]
    assert runner.compile_seconds() > 0


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("tinydet_s", "onnxruntime"),
        ("tinydet_s", "openvino"),
        ("tinydet_m", "onnxruntime"),
        ("thundernet_snet49", "onnxruntime"),
    ],
)
def test_both_graphs_of_two_stages_have_the_outputs_of_eager(name: str, mode: str) -> None:
    """Each for the same inputs: rounding may change which proposals are kept.

    The detector itself stays as it was.
    """
    whole = make(name)
    before = set(vars(whole))
    runner = build_runner(whole, mode)
    own: Any = runner.detector
    with torch.inference_mode():
        pixels = whole.preprocess(draw_images(1)).pixels
        maps, outputs = whole.dense(pixels)  # type: ignore[operator]
        assert_close(own.dense(pixels), (maps, outputs))
        pooled = whole.roi_pool(maps, whole.rpn.propose(outputs).boxes)  # type: ignore[operator]
        assert_close(own.classify(pooled), whole.classify(pooled))  # type: ignore[operator]
        assert whole.dense(pixels)  # type: ignore[operator]
    assert runner.conditions["segments"] == ["dense", "classify"]
    assert set(vars(whole)) == before


def test_each_batch_size_is_exported_once(detector: Detector) -> None:
    runner, images = build_runner(detector, "onnxruntime"), draw_images(2)
    for count in (1, 2, 1, 2):
        own, plain = runner.detect(images[:count]), build_runner(detector).detect(images[:count])
        torch.testing.assert_close(own.scores, plain.scores, rtol=0, atol=1e-4)
        assert runner.compile_seconds() > 0
    spent = runner.compile_seconds()
    runner.detect(images)
    assert runner.compile_seconds() == spent


def test_an_operator_that_onnx_lacks_is_named_with_the_part_that_calls_it() -> None:
    whole = make("tinydet_s")
    whole.segments = ("network",)
    with pytest.raises(CellError) as caught:
        build_runner(whole, "onnxruntime").detect(draw_images(1))
    assert str(caught.value) == (
        "network cannot become ONNX: it has no operator for harness.select_anchors"
    )


def test_what_depends_on_values_is_named_with_its_line() -> None:
    with pytest.raises(CellError, match=r"torch cannot export network: .*faster_rcnn\.py:\d+\)"):
        build_runner(build("fasterrcnn320"), "onnxruntime").detect(draw_images(1))


@pytest.mark.parametrize(
    ("mode", "install"), [("onnxruntime", "harness[onnx]"), ("openvino", "harness[openvino]")]
)
def test_a_runtime_that_is_not_installed_says_how(
    detector: Detector, mode: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = exported.find_spec
    monkeypatch.setattr(exported, "find_spec", lambda n: None if n == mode else find(n))
    assert unavailable(mode, "float32", torch.device("cpu")) == (
        f"needs {mode}: pip install '{install}'"
    )
    with pytest.raises(UserError, match="cannot run: needs"):
        build_runner(detector, mode)


@pytest.mark.parametrize("mode", RUNTIMES)
def test_they_run_on_processors_in_float32(mode: str) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert unavailable(mode, "float32", cpu) is None
    assert unavailable(mode, "bfloat16", cpu) == f"{mode} has no other precision here"
    assert unavailable(mode, "float32", gpu) == f"{mode} runs on processors here"


@dataclass(frozen=True)
class Outputs:
    maps: tuple[Tensor, ...]
    more: Any
    size: int = 3


def test_structures_are_taken_apart_and_filled_again() -> None:
    one, two, three = (torch.full((2,), float(i)) for i in range(3))
    given = Outputs((one, two), {"a": [three], "f": print})
    assert [t is w for t, w in zip(tensors_of(given), (one, two, three), strict=True)] == [True] * 3
    other = fill(given, [three, two, one])
    assert other.maps[0] is three
    assert other.more["a"][0] is one
    assert other.more["f"] is None
    assert other.size == 3
