import pytest
import torch
from rivals import FASTER_RCNN, SSDLITE, build_detector, sharpen
from torch import nn


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def ssdlite():
    return sharpen(build_detector(SSDLITE))


@pytest.fixture(scope="session")
def faster_rcnn():
    return sharpen(build_detector(FASTER_RCNN))


@pytest.fixture(params=[SSDLITE, FASTER_RCNN])
def detector(request, ssdlite, faster_rcnn):
    return {SSDLITE: ssdlite, FASTER_RCNN: faster_rcnn}[request.param].eval()


@pytest.fixture
def picture():
    """A smooth random picture: uint8 (3, h, w), with something at every scale."""

    def draw(height, width, seed=0):
        generator = torch.Generator().manual_seed(seed)
        total = torch.zeros(1, 3, height, width)
        for cells in (3, 9, 27):
            noise = torch.randn(1, 3, cells, cells, generator=generator)
            total += nn.functional.interpolate(noise, (height, width), mode="bicubic")
        return (total[0] * 40 + 128).clamp(0, 255).to(torch.uint8)

    return draw
