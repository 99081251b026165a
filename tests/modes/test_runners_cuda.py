"""On a GPU: every mode, without a synchronisation between pixels and detections."""

import pytest
import torch
from mode_detectors import MODES, build, draw_images

from harness.manifest.schema import PRECISIONS
from harness.model.detector import Detector
from harness.modes.build import build_runner

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.usefixtures("without_gradients"),
]


@pytest.fixture(scope="module", params=["tinydet_s", "tinydet_m"])
def detector(request: pytest.FixtureRequest) -> Detector:
    return build(request.param).to("cuda")


# `cuda_graph` replays what `compiled` launches: each precision is compiled once
WAYS = [(m, p) for m in MODES for p in PRECISIONS if m != "compiled" or p == "float32"]


@pytest.mark.parametrize(("mode", "precision"), WAYS)
def test_a_mode_finds_the_same_and_nothing_in_it_waits(
    detector: Detector, mode: str, precision: str
) -> None:
    images = draw_images()
    wanted = build_runner(detector).detect(images).to("cpu")
    runner = build_runner(detector, mode, precision)
    runner.detect(images)
    found = runner.detect(images).to("cpu")  # a graph's second call replays it
    limit = {"float32": 2e-3, "tf32": 2e-2}.get(precision, 5e-2)
    torch.testing.assert_close(found.scores, wanted.scores, rtol=0, atol=limit)
    pixels = runner.load(images)
    runner.detect_pixels(pixels)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        runner.detect_pixels(pixels)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_graph_takes_other_images_of_the_same_shape(detector: Detector) -> None:
    first, second = draw_images()
    runner, eager = build_runner(detector, "cuda_graph"), build_runner(detector, "eager")
    runner.detect([first])
    found, wanted = runner.detect([second]).to("cpu"), eager.detect([second]).to("cpu")
    torch.testing.assert_close(found.scores, wanted.scores, rtol=0, atol=2e-3)
