"""`compiled` finds what fused finds; apart from the other modes, as compiling takes long."""

from functools import partial

import pytest
import torch
from mode_detectors import assert_same, build, draw_images

from harness.model.detector import Detector
from harness.modes import compiling
from harness.modes.build import build_runner
from harness.modes.runner import Runner

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_gradients")]


@pytest.fixture(scope="module")
def compiled(detector: Detector) -> Runner:
    return build_runner(detector, "compiled")


def as_traced(graph: torch.fx.GraphModule, _: object) -> object:
    """A backend that compiles nothing."""
    return graph.forward


@pytest.fixture
def traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not depend on the kernels is seen sooner without them."""
    made = partial(compiling.Compiled, backend=as_traced)
    monkeypatch.setattr(compiling, "Compiled", made)


@pytest.mark.usefixtures("traced_only")
def test_tinydet_is_one_graph_for_each_batch_size(detector: Detector) -> None:
    """From uint8 pixels to detections."""
    runner, plain = build_runner(detector, "compiled"), build_runner(detector, "fused")
    for images in (draw_images(), draw_images(3), draw_images()):
        assert_same(runner.detect(images), plain.detect(images))
        assert runner.conditions["graph_breaks"] == 0


@pytest.mark.newest
def test_tinydet_compiles_whole(detector: Detector, compiled: Runner) -> None:
    images = draw_images()
    assert_same(compiled.detect(images), build_runner(detector, "fused").detect(images))
    assert compiled.conditions["graph_breaks"] == 0


@pytest.mark.newest
def test_what_was_compiled_for_one_detector_serves_no_other(compiled: Runner) -> None:
    """The same code, other weights: a cache keyed on code alone would mix them up."""
    compiled.detect(draw_images())
    other = build("tinydet_s", seed=5)
    images = draw_images()
    found, wanted = build_runner(other, "compiled").detect(images), build_runner(other, "fused")
    assert_same(found, wanted.detect(images))


@pytest.mark.newest
@pytest.mark.usefixtures("traced_only")
def test_what_cannot_be_compiled_whole_says_in_how_many_pieces() -> None:
    ssd = build("ssdlite320")
    runner, images = build_runner(ssd, "compiled"), draw_images()
    found, wanted = runner.detect(images), build_runner(ssd, "fused").detect(images)
    assert runner.conditions["graph_breaks"] > 0
    # further down a box at the limit of NMS, dropped or not, moves all that follow
    torch.testing.assert_close(found.scores[:, :50], wanted.scores[:, :50], rtol=0, atol=2e-2)
