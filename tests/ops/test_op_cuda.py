"""Every op on the GPU against its reference there, in every dtype."""

import cv2
import pytest
import torch
from op_cases import random_boxes, random_features, random_image, random_rois

from harness.ops import (
    implementation,
    nms_padded,
    psroi_align,
    psroi_align_multilevel,
    resize_bilinear,
    soft_nms_padded,
)
from harness.ops.nms import nms_padded_reference
from harness.ops.psroi_multilevel_reference import psroi_align_multilevel_reference
from harness.ops.psroi_reference import accumulate_dtype, psroi_align_reference
from harness.ops.resize import resize_bilinear_reference
from harness.ops.soft_nms import soft_nms_padded_reference

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]
DTYPES = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16]
)


def test_the_kernels_serve():
    assert implementation("cuda") == "compiled-cuda"


@DTYPES
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_psroi_align(dtype, layout, reduce, ratio):
    features = random_features(0, (2, 245, 20, 23)).to(dtype).cuda().to(memory_format=layout)
    rois = random_rois(1, 200, 2, 180, accumulate_dtype(dtype))
    rois[3, 2], rois[4, 0], rois[5, 1:] = float("nan"), 7, 1e30
    rois = rois.cuda()
    gradients = []
    for forward in (torch.ops.harness.psroi_align, psroi_align_reference):
        leaf = features.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        output, argmax = forward(leaf, rois, 1 / 8, 7, 7, 5, ratio, reduce)
        (output.float() * torch.arange(7, device="cuda").cos()).sum().backward()
        gradients.append((output.detach(), argmax, leaf.grad))
    (output, argmax, gradient), (wanted, wanted_argmax, wanted_gradient) = gradients
    torch.testing.assert_close(output, wanted)
    assert torch.equal(argmax, wanted_argmax)
    torch.testing.assert_close(gradient, wanted_gradient, atol=1e-2, rtol=1e-2)
    if dtype in (torch.float32, torch.float64):
        torch.testing.assert_close(gradient, wanted_gradient, atol=1e-4, rtol=1e-4)


def pyramid(dtype=torch.float32):
    """Maps, and boxes of which each fourth has no area and some cannot be pooled."""
    maps = [random_features(s, (2, 245, 80 // s, 92 // s)).to(dtype) for s in (1, 2, 4)]
    boxes = random_rois(1, 200, 2, 320, accumulate_dtype(dtype))[:, 1:].view(2, 100, 4)
    boxes[..., 2:] = boxes[..., :2] + (boxes[..., 2:] - boxes[..., :2]).abs() / 2
    boxes[:, ::4], boxes[0, 1, 2], boxes[1, 1, 3] = 0, float("nan"), 1e30
    return maps, boxes


@DTYPES
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_psroi_align_multilevel(dtype, layout, reduce, ratio):
    maps, boxes = pyramid(dtype)
    boxes = boxes.cuda()
    results = []
    for forward in (torch.ops.harness.psroi_align_multilevel, psroi_align_multilevel_reference):
        leaves = [x.cuda().to(memory_format=layout).requires_grad_() for x in maps]
        output, argmax = forward(leaves, boxes, [4, 8, 16], 22.4, True, 7, 7, 5, ratio, reduce)
        (output.float() * torch.arange(7, device="cuda").cos()).sum().backward()
        results.append((output.detach(), argmax, [x.grad for x in leaves]))
    (output, argmax, gradients), (wanted, wanted_argmax, wanted_gradients) = results
    torch.testing.assert_close(output, wanted)
    assert torch.equal(argmax, wanted_argmax)
    torch.testing.assert_close(gradients, wanted_gradients, atol=1e-2, rtol=1e-2)
    if dtype in (torch.float32, torch.float64):
        torch.testing.assert_close(gradients, wanted_gradients, atol=1e-4, rtol=1e-4)


def test_psroi_align_multilevel_agrees_with_the_cpu_and_stops_for_nothing():
    maps, boxes = pyramid()
    rule = ((4, 8, 16), 22.4, 7, 5)
    on_cpu = psroi_align_multilevel(maps, boxes, *rule)
    moved, moved_boxes = [x.cuda().requires_grad_() for x in maps], boxes.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        on_gpu = psroi_align_multilevel(moved, moved_boxes, *rule)
        on_gpu.sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(on_gpu.detach().cpu(), on_cpu)


def test_psroi_align_agrees_with_the_cpu():
    features, rois = random_features(0, (2, 245, 20, 23)), random_rois(1, 200, 2, 180)
    on_cpu = psroi_align(features, rois, 1 / 8, 7, 5)
    on_gpu = psroi_align(features.cuda(), rois.cuda(), 1 / 8, 7, 5)
    torch.testing.assert_close(on_gpu.cpu(), on_cpu)


def test_deterministic_algorithms_give_equal_gradients():
    rois = random_rois(1, 400, 2, 180).cuda()
    gradients = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            features = random_features(0, (2, 245, 20, 23)).cuda().requires_grad_()
            psroi_align(features, rois, 1 / 8, 7, 5).square().sum().backward()
            gradients.append(features.grad)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*gradients)


@DTYPES
@pytest.mark.parametrize(("size", "limit"), [(700, 700), (700, 40), (3000, 3000)])
def test_nms_padded(dtype, size, limit):
    boxes = random_boxes(0, 5, size).to(dtype).cuda()
    boxes[3] *= 10  # most are kept, at 3000 more than shared memory holds
    counts = torch.tensor([size, 0, 1, size, size - 1], device="cuda")
    valid = torch.arange(size, device="cuda") < counts[:, None]
    kept = nms_padded(boxes, counts, 0.5, limit)
    for found, wanted in zip(kept, nms_padded_reference(boxes, valid, 0.5, limit), strict=True):
        assert torch.equal(found, wanted)


@DTYPES
@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_nms_padded(dtype, method):
    boxes = random_boxes(0, 6, 333).to(dtype).cuda()
    scores = torch.rand((6, 333), generator=torch.Generator().manual_seed(0)).to(dtype).cuda()
    scores[1], scores[2, 5:] = 0, -1
    final = soft_nms_padded(boxes, scores, 0.4, 0.01, method)
    wanted = soft_nms_padded_reference(boxes, scores, 0.4, 0.01, method, 0.5)
    torch.testing.assert_close(final, wanted)


OLD_SIZES = [(480, 640), (427, 640), (1, 1), (1, 333), (640, 640), (3000, 41), (1080, 1920)]


@pytest.mark.parametrize("old", OLD_SIZES)
@pytest.mark.parametrize("new", [(320, 320), (512, 512), (321, 475), (1, 7), (240, 320)])
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("planar", [False, True])
def test_resize_bilinear_equals_opencv(old, new, interleaved, planar):
    image = random_image(0, *old)
    wanted = cv2.resize(image.permute(1, 2, 0).numpy(), new[::-1], interpolation=cv2.INTER_LINEAR)
    on_gpu = (image.contiguous() if planar else image).cuda()
    found = resize_bilinear(on_gpu, new, interleaved)
    reference = resize_bilinear_reference(on_gpu, *new, interleaved)
    assert torch.equal(found.cpu(), torch.from_numpy(wanted).permute(2, 0, 1))
    assert torch.equal(found, reference)
    assert found.stride() == reference.stride()


def test_resize_bilinear_makes_every_side_as_opencv_does():
    for old in range(1, 70):
        for size in ((old, 5), (5, old)):
            image = random_image(old, *size)
            array, on_gpu = image.permute(1, 2, 0).numpy(), image.cuda()
            for new in (1, 2, 3, 20, 31, 35, 64, 2 * old):
                wanted = cv2.resize(array, (new, new), interpolation=cv2.INTER_LINEAR)
                found = resize_bilinear(on_gpu, (new, new), interleaved=True)
                assert torch.equal(found.permute(1, 2, 0).cpu(), torch.from_numpy(wanted))


def test_gradcheck():
    values = torch.randperm(2 * 8 * 6 * 7, generator=torch.Generator().manual_seed(0))
    features = values.double().view(2, 8, 6, 7).cuda().requires_grad_()
    rois = random_rois(3, 5, 2, 14, torch.float64).cuda()
    for reduce in ("max", "mean"):
        assert torch.autograd.gradcheck(
            lambda x, reduce=reduce: psroi_align(x, rois, 0.5, 2, 2, 2, reduce),
            (features,),
            eps=1e-3,
            nondet_tol=1e-9,
        )


def test_ops_run_inside_a_cuda_graph():
    boxes, scores = random_boxes(0, 4, 50).cuda(), torch.rand(4, 50).cuda()
    valid = scores > 0.2
    features, rois = random_features(0, (1, 245, 20, 20)).cuda(), random_rois(1, 20, 1, 160).cuda()
    maps, regions = pyramid()
    maps, regions = [x.cuda() for x in maps], regions.cuda()
    photo = random_image(0, 480, 640).cuda()

    def run():
        pooled = psroi_align(features, rois, 1 / 8, 7, 5)
        level_pooled = psroi_align_multilevel(maps, regions, (4, 8, 16), 22.4, 7, 5)
        kept = nms_padded(boxes, valid, 0.5)
        scored = soft_nms_padded(boxes, scores)
        return pooled, level_pooled, *kept, scored, resize_bilinear(photo, (320, 320))

    wanted = run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    graph.replay()
    for result, expected in zip(captured, wanted, strict=True):
        assert torch.equal(result, expected)
