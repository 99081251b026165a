"""Every mode that this machine has finds what eager finds; the others say why they cannot run."""

from collections.abc import Iterator

import pytest
import torch
from mode_detectors import build, draw_images

from harness.errors import UserError
from harness.manifest.schema import MODES
from harness.model.detector import Detector
from harness.model.types import Detections
from harness.modes import Runner, build_runner, precision, unavailable

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build("tinydet_s")


@pytest.fixture(scope="module")
def compiled(detector: Detector) -> Runner:
    return build_runner(detector, "compiled")


def assert_same(found: Detections, wanted: Detections) -> None:
    """The same set but for rounding: boxes close to the score limit may come or go."""
    assert wanted.counts.min() > 20
    torch.testing.assert_close(found.scores, wanted.scores, rtol=0, atol=2e-3)


def test_eager_is_the_detector_itself(detector: Detector) -> None:
    runner = build_runner(detector, "eager")
    assert (runner.mode, runner.precision) == ("eager", "float32")
    found, wanted = runner.detect(draw_images()), detector(detector.preprocess(draw_images()))
    assert torch.equal(found.boxes, wanted.boxes)
    assert torch.equal(found.scores, wanted.scores)


def test_fused_finds_the_same(detector: Detector) -> None:
    images = draw_images()
    runner = build_runner(detector, "fused")
    assert_same(runner.detect(images), build_runner(detector, "eager").detect(images))
    prepared = runner.prepare(images)
    assert_same(runner.forward(prepared), runner.detect(images))


def test_tinydet_compiles_whole(detector: Detector, compiled: Runner) -> None:
    """From uint8 pixels to detections in one graph."""
    images = draw_images()
    assert_same(compiled.detect(images), build_runner(detector, "fused").detect(images))
    assert compiled.conditions["graph_breaks"] == 0


def test_another_batch_size_is_compiled_anew(detector: Detector, compiled: Runner) -> None:
    images = draw_images(3)
    assert_same(compiled.detect(images), build_runner(detector, "fused").detect(images))
    assert_same(compiled.detect(images[:2]), build_runner(detector, "fused").detect(images[:2]))


def test_what_was_compiled_for_one_detector_serves_no_other(compiled: Runner) -> None:
    """The same code, other weights: a cache keyed on code alone would mix them up."""
    compiled.detect(draw_images())
    other = build("tinydet_s", seed=5)
    images = draw_images()
    found, wanted = build_runner(other, "compiled").detect(images), build_runner(other, "fused")
    assert_same(found, wanted.detect(images))


def test_what_cannot_be_compiled_whole_says_in_how_many_pieces() -> None:
    ssd = build("ssdlite320")
    runner, images = build_runner(ssd, "compiled"), draw_images()
    found, wanted = runner.detect(images), build_runner(ssd, "fused").detect(images)
    assert runner.conditions["graph_breaks"] > 0
    # further down a box at the limit of NMS, dropped or not, moves all that follow
    torch.testing.assert_close(found.scores[:, :50], wanted.scores[:, :50], rtol=0, atol=2e-2)


def test_half_precision_computes_in_half_and_keeps_boxes_exact(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where bfloat16 is emulated, which is only slow."""
    monkeypatch.setattr("harness.modes.build.half_dtype", lambda device: torch.bfloat16)
    for mode in ("eager-half", "fused-half"):
        runner = build_runner(detector, mode)
        assert runner.precision == "bfloat16"
        assert runner.detector.get_submodule("bbox_head.fc_cls").weight.dtype == torch.bfloat16
        assert runner.detector.get_buffer("rpn_head.anchors").dtype == torch.float32
        found = runner.detect(draw_images())
        assert found.boxes.dtype == found.scores.dtype == torch.float32
        assert found.counts.min() > 20
        fractions = found.boxes[found.boxes > 128].frac()
        assert fractions.unique().numel() > 4  # bfloat16 has whole numbers there
    assert detector.get_submodule("bbox_head.fc_cls").weight.dtype == torch.float32


def test_a_processor_without_bfloat16_has_no_half(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True}, raising=False)
    assert precision.half_dtype(CPU) is None
    with pytest.raises(UserError, match="'fused-half' cannot run: this processor has no 16-bit"):
        build_runner(detector, "fused-half")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    assert precision.half_dtype(CPU) is torch.bfloat16


@pytest.mark.parametrize("mode", ["cuda_graph", "cuda_graph-half"])
def test_cuda_graphs_need_a_gpu(detector: Detector, mode: str) -> None:
    with pytest.raises(UserError, match=f"'{mode}' cannot run: CUDA graphs need an NVIDIA GPU"):
        build_runner(detector, mode)


def test_a_cpu_has_every_other_float32_mode() -> None:
    here = [mode for mode in MODES if unavailable(mode, CPU) is None and "half" not in mode]
    assert here == ["eager", "fused", "compiled"]
