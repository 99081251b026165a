"""Every mode that this machine has finds what eager finds; the others say why they cannot run."""

import pytest
import torch
from mode_detectors import MODES, assert_same, draw_images

from harness.errors import UserError
from harness.manifest.schema import PRECISIONS
from harness.model.detector import Detector
from harness.modes.build import build_runner, unavailable

pytestmark = pytest.mark.usefixtures("without_gradients")

CPU = torch.device("cpu")


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


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", "fused"])
@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_16_bits_compute_in_16_bits_and_keep_boxes_exact(
    detector: Detector, mode: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where these are emulated, which is only slow."""
    monkeypatch.setattr("harness.modes.by_torch.lacking", lambda precision, device: None)
    runner, dtype = build_runner(detector, mode, name), getattr(torch, name)
    assert runner.precision == name
    assert runner.detector.get_submodule("bbox_head.fc_cls").weight.dtype == dtype
    assert runner.detector.get_buffer("rpn_head.anchors").dtype == torch.float32
    found = runner.detect(draw_images())
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    assert found.counts.min() > 20
    fractions = found.boxes[found.boxes > 128].frac()
    assert fractions.unique().numel() > 4  # bfloat16 has whole numbers there
    assert detector.get_submodule("bbox_head.fc_cls").weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "capability"), [("bfloat16", "amx_bf16"), ("float16", "avx512_fp16")]
)
def test_a_processor_computes_in_16_bits_only_where_it_can(
    detector: Detector, name: str, capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True}, raising=False)
    message = f"fused in {name} cannot run: this processor has no {name} arithmetic"
    with pytest.raises(UserError, match=message):
        build_runner(detector, "fused", name)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {capability: True}, raising=False)
    assert unavailable("fused", name, CPU) is None


@pytest.mark.parametrize(
    ("capability", "names"),
    [((7, 5), ["float32", "float16"]), ((8, 0), list(PRECISIONS)), ((9, 0), list(PRECISIONS))],
)
def test_a_gpu_computes_in_what_its_architecture_has(
    capability: tuple[int, int], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    gpu = torch.device("cuda", 0)
    assert [name for name in PRECISIONS if unavailable("cuda_graph", name, gpu) is None] == names


def test_tf32_needs_a_gpu(detector: Detector) -> None:
    message = "eager in tf32 cannot run: tf32 needs an NVIDIA GPU of compute capability 8.0"
    with pytest.raises(UserError, match=message):
        build_runner(detector, "eager", "tf32")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_cuda_graphs_need_a_gpu(detector: Detector, precision: str) -> None:
    with pytest.raises(UserError, match="cannot run: CUDA graphs need an NVIDIA GPU"):
        build_runner(detector, "cuda_graph", precision)


def test_a_cpu_has_every_other_mode_in_float32() -> None:
    here = [mode for mode in MODES if unavailable(mode, "float32", CPU) is None]
    assert here == ["eager", "fused", "compiled"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (("fusd", "float32"), "no mode 'fusd' .did you mean 'fused'"),
        (("fused", "half"), "no precision 'half'"),
        (("fused-half", "float32"), "no mode 'fused-half'"),
    ],
)
def test_unknown_names_are_told_the_known_ones(
    detector: Detector, choice: tuple[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_runner(detector, *choice)
