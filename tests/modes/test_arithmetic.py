"""The flags of TF32: set around everything that multiplies, and afterwards as they were."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mode_detectors import build, draw_images

from harness.data.resize import collate_images
from harness.manifest.schema import PRECISIONS
from harness.model.arithmetic import OPERATIONS, Flags, arithmetic, flags_of, read_flags
from harness.model.detector import Detector
from harness.modes.build import build_runner
from harness.modes.precision import lacking
from harness.stages.evaluate import detect

NAMES = ("ieee", "tf32", "none")


def older_flags() -> list[object]:
    """What torch's own modules still read; "" where it raises."""
    readers = (
        lambda: torch.backends.cudnn.allow_tf32,
        lambda: torch.backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision,
    )
    found: list[object] = []
    for read in readers:
        try:
            found.append(read())
        except RuntimeError:
            found.append("")
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tf32_is_on_for_tf32_alone(precision: str) -> None:
    before, legacy, on = read_flags(), older_flags(), precision == "tf32"
    with arithmetic(precision):
        assert read_flags() == flags_of(precision)
        assert older_flags() == [on, on, "high" if on else "highest"]
        assert (torch.backends.cudnn.conv.fp32_precision == "tf32") is on
        assert (torch.backends.cuda.matmul.fp32_precision == "tf32") is on
    assert (read_flags(), older_flags()) == (before, legacy)


@given(
    before=st.lists(st.sampled_from(NAMES), min_size=6, max_size=6),
    nested=st.lists(st.sampled_from(PRECISIONS), min_size=1, max_size=4),
    fails=st.booleans(),
)
def test_flags_are_as_before_whatever_happens(
    before: list[str], nested: list[str], fails: bool
) -> None:
    """Also flags that disagree with the older ones, which makes torch raise when those are read."""
    with arithmetic("float32"):  # what this test leaves behind, this puts right
        for operation, value in zip(OPERATIONS.values(), before, strict=True):
            operation.fp32_precision = value
        kept, legacy = read_flags(), older_flags()
        try:
            _nest(nested, fails)
        except ZeroDivisionError:
            assert fails
        assert read_flags() == kept
        if "" not in legacy:
            assert older_flags() == legacy


def _nest(precisions: list[str], fails: bool) -> None:
    if not precisions:
        assert not fails or 1 // 0
        return
    with arithmetic(precisions[0]):
        _nest(precisions[1:], fails)
        assert read_flags() == flags_of(precisions[0])


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> tuple[Detector, list[Flags]]:
    """A detector, and the flags at every call of its class scores; every precision can be had."""
    monkeypatch.setattr("harness.modes.by_torch.lacking", lambda precision, device: None)
    detector, flags = build("tinydet_s"), list[Flags]()
    scores = detector.get_submodule("bbox_head.fc_cls")
    scores.register_forward_hook(lambda *_: flags.append(read_flags()))
    return detector, flags


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("mode", ["eager", "fused"])
def test_every_call_of_a_runner_has_its_flags(
    seen: tuple[Detector, list[Flags]], mode: str, precision: str
) -> None:
    detector, flags = seen
    with arithmetic("tf32" if precision == "float32" else "float32"), torch.no_grad():
        outside = read_flags()
        runner = build_runner(detector, mode, precision)
        inputs = runner.prepare(draw_images())
        runner.network(inputs)
        runner.forward(inputs)
        runner.detect(draw_images())
        assert read_flags() == outside
    assert len(flags) == 3 + (mode == "fused")  # which looks for what can be folded
    assert all(found == flags_of(precision) for found in flags)


def test_predicting_and_evaluating_are_in_float32_without_tf32(
    seen: tuple[Detector, list[Flags]],
) -> None:
    detector, flags = seen
    with arithmetic("tf32"):
        detector.predict(draw_images())
        inputs = collate_images([detector.resize(image) for image in draw_images()])
        detect(detector, [(inputs, [1, 2])], [1, 2, 3, 4], 2)
    assert flags == [flags_of("float32")] * 2


@pytest.mark.parametrize(
    ("capability", "has"),
    [
        ((7, 5), {"float32", "float16"}),
        ((8, 0), set(PRECISIONS)),
        ((9, 0), set(PRECISIONS)),
    ],
)
def test_a_gpu_has_what_its_architecture_has(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has: set[str]
) -> None:
    """TF32 and bfloat16 came with compute capability 8.0."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    gpu = torch.device("cuda", 0)
    assert {p for p in PRECISIONS if lacking(p, gpu) is None} == has
    assert all("8.0" in str(lacking(p, gpu)) for p in set(PRECISIONS) - has)
