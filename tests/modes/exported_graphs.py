"""Exported graphs compute in each runtime what eager computes, or say why they cannot."""

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import openvino
import pytest
import torch
from mode_detectors import build, draw_images
from torch import Tensor

import harness
from harness.errors import CellError, UserError
from harness.model.detector import Detector
from harness.modes.build import build_runner, unavailable
from harness.modes.runner import NodeTime, Runner
from harness.ops.nms import nms_padded
from harness_plugins.meters.profiled import by_role
from harness_plugins.runtimes import executorch_runtime, exported, onnx_model
from harness_plugins.runtimes.exported import Written
from harness_plugins.runtimes.tracing import fill, tensors_of, trace

pytestmark = pytest.mark.usefixtures("without_gradients")

RUNTIMES = ("onnxruntime", "openvino")
# shares of nodes; the exporter of the oldest torch leaves the names off far more of them
OLDEST = torch.__version__.startswith("2.11.")
NAMELESS = {"onnxruntime": 0.5 if OLDEST else 0.25, "openvino": 0.1}
OTHERS = {
    "yolox_nano": "suites/yolox.yaml",
    "nanodet_plus_m_320": "suites/budget.yaml",
    "picodet_s_320": "suites/budget.yaml",
    "thundernet_snet49": "suites/budget.yaml",
    "retina_small": "suites/budget.yaml",
}


def make(name: str) -> Detector:
    if name not in OTHERS:
        return build(name)
    torch.manual_seed(0)
    return harness.build(OTHERS[name], name, classes=4).eval()


@cache
def made(name: str, mode: str) -> tuple[Detector, Runner]:
    """A detector and its runner, whose export several tests look at."""
    whole = make(name)
    return whole, build_runner(whole, mode)


def needs(mode: str) -> None:
    """Skip where ExecuTorch is not installed: only the newest torch is tested with it."""
    if mode.startswith("executorch"):
        pytest.importorskip("executorch")


def assert_close(found: Any, wanted: Any) -> None:
    ours, theirs = tensors_of(found), tensors_of(wanted)
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("yolox_nano", "openvino"),
        pytest.param("nanodet_plus_m_320", "openvino", marks=pytest.mark.newest),
        pytest.param("picodet_s_320", "onnxruntime", marks=pytest.mark.newest),
        pytest.param("retina_small", "onnxruntime", marks=pytest.mark.newest),
        pytest.param("ssdlite320", "onnxruntime", marks=pytest.mark.newest),
    ],
)
def test_a_one_stage_network_is_one_graph_with_the_outputs_of_eager(name: str, mode: str) -> None:
    whole, runner = made(name, mode)
    eager = build_runner(whole)
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
        pytest.param("tinydet_s", "openvino", marks=pytest.mark.newest),
        pytest.param("thundernet_snet49", "onnxruntime", marks=pytest.mark.newest),
        pytest.param("tinydet_s", "executorch", marks=pytest.mark.newest),
    ],
)
def test_both_graphs_of_two_stages_have_the_outputs_of_eager(name: str, mode: str) -> None:
    """Each for the same inputs: rounding may change which proposals are kept.

    The detector itself stays as it was.
    """
    needs(mode)
    whole, runner = made(name, mode)
    own: Any = runner.detector
    with torch.inference_mode():
        pixels = whole.preprocess(draw_images(1)).pixels
        maps, outputs = whole.dense(pixels)  # type: ignore[operator]
        assert_close(own.dense(pixels), (maps, outputs))
        pooled = whole.roi_pool(maps, whole.rpn.propose(outputs).boxes)  # type: ignore[operator]
        assert_close(own.classify(pooled), whole.classify(pooled))  # type: ignore[operator]
        assert whole.dense(pixels)  # type: ignore[operator]
    assert runner.conditions["segments"] == ["dense", "classify"]
    assert set(vars(whole)) == set(vars(make(name)))


def test_an_operator_that_onnx_lacks_is_named_with_the_part_that_calls_it() -> None:
    module = torch.nn.Sequential(torch.nn.Identity(), NonMaximumSuppression())
    given = (torch.rand(1, 1, 9, 5),)
    with pytest.raises(CellError) as caught:
        onnx_model.export(trace("head", module, lambda given: module(given), given))
    assert str(caught.value) == (
        "head cannot become ONNX: it has no operator for harness.nms_padded, which 1 calls"
    )


def test_what_depends_on_values_is_named_with_its_line() -> None:
    with pytest.raises(CellError, match=r"torch cannot export network: .*faster_rcnn\.py:\d+\)"):
        build_runner(build("fasterrcnn320"), "onnxruntime").detect(draw_images(1))


@pytest.mark.parametrize(
    ("mode", "install"),
    [
        ("onnxruntime", "harness[onnx]"),
        ("openvino", "harness[openvino]"),
        ("executorch", "harness[executorch]"),
    ],
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


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param("retina_small", "onnxruntime", marks=pytest.mark.newest),
        ("yolox_nano", "openvino"),
        ("tinydet_s", "onnxruntime"),
        pytest.param("tinydet_s", "openvino", marks=pytest.mark.newest),
    ],
)
def test_profiled_nodes_are_told_by_the_modules_that_they_were_made_from(
    name: str, mode: str
) -> None:
    """Every convolution that runs is found again, if by its norm, and few nodes are not known."""
    whole, runner = made(name, mode)
    with torch.inference_mode():
        inputs = runner.prepare(draw_images(1))
        before = runner.network(inputs)
        assert runner.profile is not None
        runs = runner.profile(lambda: runner.network(inputs), 5)
        assert_close(runner.network(inputs), before)
    assert len(runs) == 5
    assert len({len(run) for run in runs}) == 1
    found = {module for node in runs[0] for module in node.modules}
    ran: set[str] = set()
    hooks = [
        part.register_forward_hook(lambda *_, path=path: ran.add(path))
        for path, part in whole.named_modules()
        if isinstance(part, torch.nn.Conv2d)
    ]
    whole.network(whole.preprocess(draw_images(1)))
    for hook in hooks:
        hook.remove()
    blocks, known = ({path.rpartition(".")[0] for path in paths} for paths in (ran, found))
    assert blocks - known == set()
    assert len(blocks) > 20
    # counted, as times depend on what else the machine does
    nameless = sum(not node.modules for node in runs[0])
    assert nameless <= NAMELESS[mode] * len(runs[0])


class OneHeadOnTwoLevels(torch.nn.Module):
    """A depthwise convolution whose weights two levels share, as those of TinyDet-S's RPN."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.relu = torch.nn.ReLU(inplace=True)

    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:
        smaller = torch.nn.functional.adaptive_avg_pool2d(given, 8)
        return self.relu(self.head(given)), self.relu(self.head(smaller))


def executorch_program(module: torch.nn.Module, folder: Path, samples: int = 0) -> Written:
    """Its file, head.pte; in 8 bits where there are samples."""
    module.eval()
    traced = trace("head", module, module, (torch.randn(1, 8, 16, 16),))
    drawn = [[torch.randn(1, 8, 16, 16)] for _ in range(samples)]
    return executorch_runtime.write(traced, folder / "head", drawn or None)


def test_executorch_has_all_levels_of_a_shared_head_in_8_bits(tmp_path: Path) -> None:
    needs("executorch")
    module = OneHeadOnTwoLevels()
    written = executorch_program(module, tmp_path, 4)
    session = executorch_runtime.open_session(written.paths[0], "float32")
    given = torch.randn(1, 8, 16, 16)
    # an activation behind a convolution is part of it
    assert set(written.floats) == {"adaptive_avg_pool2d"}
    for found, wanted in zip(session([given]), module(given), strict=True):
        error = float((found - wanted).norm() / wanted.norm())
        assert 1e-5 < error < 0.05


def test_executorch_says_nothing_of_processor_and_threads(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its libraries do, on the terminal, whenever the number of threads changes."""
    needs("executorch")
    module = OneHeadOnTwoLevels()
    executorch_program(module, tmp_path)
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(3)
    assert "Resetting threadpool to 3 threads." in capfd.readouterr().err
    session = executorch_runtime.open_session(tmp_path / "head.pte", "float32")
    assert portable_lib._threadpool_get_thread_count() == torch.get_num_threads()
    given = torch.randn(1, 8, 16, 16)
    assert_close(session([given]), module(given))
    print("afterwards", file=sys.stderr)
    assert capfd.readouterr().err == "afterwards\n"


def test_a_program_that_is_cut_off_is_an_error_of_one_line(tmp_path: Path) -> None:
    needs("executorch")
    whole = executorch_program(OneHeadOnTwoLevels(), tmp_path).paths[0].read_bytes()
    (tmp_path / "cut.pte").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CellError, match=r"^ExecuTorch cannot open cut: .+$") as caught:
        executorch_runtime.open_session(tmp_path / "cut.pte", "float32")
    assert "\n" not in str(caught.value)


class NonMaximumSuppression(torch.nn.Module):
    """An operator of the harness's own, which no other runtime has."""

    def forward(self, given: Tensor) -> Tensor:
        kept, _ = nms_padded(given[0, :, :, :4], given[0, :, :, 4] > 0, 0.5)
        return kept


def test_an_operator_without_a_kernel_in_executorch_is_named(tmp_path: Path) -> None:
    needs("executorch")
    why = "head cannot become an ExecuTorch program: it has no kernel for harness.nms_padded"
    with pytest.raises(CellError) as caught:
        executorch_program(NonMaximumSuppression(), tmp_path)
    assert str(caught.value) == why


def test_times_by_role_keep_apart_what_is_of_several() -> None:
    roles = {"backbone": ("stem", "body"), "neck": ("body.neck",), "head": ("head",)}
    run = [
        NodeTime(("stem", "body.conv"), 1.0), NodeTime(("body.neck",), 2.0),
        NodeTime(("stem", "head"), 4.0), NodeTime((), 8.0), NodeTime(("scale",), 16.0),
    ]  # fmt: skip
    assert by_role([run, run[:1]], roles) == {
        "": [31.0, 1.0], "role/backbone": [1.0, 1.0], "role/neck": [2.0, 0.0],
        "role/other": [16.0, 0.0], "role/unmapped": [12.0, 0.0],
    }  # fmt: skip


@pytest.mark.parametrize("mode", [*RUNTIMES, "executorch"])
def test_they_run_on_processors_in_float32(mode: str) -> None:
    needs(mode)
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert unavailable(mode, "float32", cpu) is None
    assert unavailable(mode, "float32", gpu) == f"{mode} runs on processors here"


@pytest.mark.parametrize(
    "mode", ["onnxruntime", "onnxruntime-int8", "openvino-int8", "executorch", "executorch-int8"]
)
def test_the_others_have_no_other_precision(mode: str) -> None:
    needs(mode)
    why = unavailable(mode, "bfloat16", torch.device("cpu"))
    assert why == f"{mode} has no other precision here"


def claim(monkeypatch: pytest.MonkeyPatch, processor: set[str], runtime: list[str]) -> None:
    """Let the processor and OpenVINO say that they have these."""
    known = {name: name in processor for name in ("avx512_bf16", "avx512_fp16")}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)

    class Core(openvino.Core):  # type: ignore[misc]
        def get_property(self, *given: Any) -> Any:
            asked = given[1:] == ("OPTIMIZATION_CAPABILITIES",)
            return runtime if asked else super().get_property(*given)

    monkeypatch.setattr(openvino, "Core", Core)


@pytest.mark.parametrize(
    ("precision", "processor", "runtime", "why"),
    [
        ("bfloat16", set(), ["FP32", "BF16"], "this processor has no bfloat16 arithmetic"),
        ("bfloat16", {"avx512_bf16"}, ["FP32"], "OpenVINO has no bfloat16 here"),
        ("bfloat16", {"avx512_bf16"}, ["FP32", "BF16"], None),
        ("float16", {"avx512_bf16"}, ["BF16", "FP16"], "this processor has no float16 arithmetic"),
        ("float16", {"avx512_fp16"}, ["FP16"], None),
        ("tf32", {"avx512_fp16"}, ["FP16"], "OpenVINO has no tf32"),
    ],
)
def test_openvino_has_16_bits_where_processor_and_runtime_have(
    precision: str, processor: set[str], runtime: list[str], why: str | None,
    detector: Detector, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    claim(monkeypatch, processor, runtime)
    assert unavailable("openvino", precision, torch.device("cpu")) == why
    if why is not None:
        with pytest.raises(UserError, match=f"openvino in {precision} cannot run: {why}"):
            build_runner(detector, "openvino", precision)


def test_what_openvino_takes_on_in_another_precision_is_an_error(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing itself where it computes in what the processor has instead of float16."""
    if unavailable("openvino", "float16", torch.device("cpu")) is None:
        pytest.skip("this processor has float16 arithmetic")
    claim(monkeypatch, {"avx512_fp16"}, ["FP16"])
    runner = build_runner(detector, "openvino", "float16")
    with pytest.raises(CellError, match=r"asked for float16, OpenVINO computes in b?f\d+ on this"):
        runner.network(runner.prepare(draw_images(1)))


@pytest.mark.skipif(
    unavailable("openvino", "bfloat16", torch.device("cpu")) is not None,
    reason="this processor or OpenVINO has no bfloat16 arithmetic",
)
def test_openvino_in_bfloat16_is_near_float32_and_not_equal(detector: Detector) -> None:
    runner: Any = build_runner(detector, "openvino", "bfloat16")
    with torch.inference_mode():
        pixels = detector.preprocess(draw_images(1)).pixels
        ours, plain = (tensors_of(one.dense(pixels)) for one in (runner.detector, detector))
    for found, wanted in zip(ours, plain, strict=True):
        assert found.dtype == torch.float32
        error = float((found - wanted).norm() / wanted.norm())
        assert 1e-5 < error < 0.1
    assert runner.precision == "bfloat16"


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
