"""Every op on the GPU against its reference on the CPU, in every dtype.

What rounds is compared in float64. Of a pooled value eight products are summed, each of two weights
and a number: the error is within a few roundings of the largest number that enters (`within`).
"""

import cv2
import pytest
import torch
from op_cases import (
    ON_GPU,
    assert_equal,
    random_boxes,
    random_features,
    random_image,
    random_rois,
    separable_case,
)

from harness.ops import (
    implementation,
    nms_padded,
    psroi_align,
    psroi_align_multilevel,
    resize_bilinear,
    select_anchors,
    select_boxes,
    soft_nms_padded,
)
from harness.ops.nms import nms_padded_reference
from harness.ops.psroi_multilevel import (
    psroi_align_multilevel_backward_reference,
    psroi_align_multilevel_reference,
)
from harness.ops.psroi_reference import (
    accumulate_dtype,
    psroi_align_backward_reference,
    psroi_align_reference,
)
from harness.ops.resize import resize_bilinear_reference
from harness.ops.select_anchors import select_anchors_reference
from harness.ops.select_boxes import select_boxes_reference
from harness.ops.soft_nms import soft_nms_padded_reference

pytestmark = list(ON_GPU)
DTYPES = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16]
)


def test_the_kernels_serve():
    assert implementation("cuda") == "compiled-cuda"


# Weights are differences of coordinates that were rounded some eight times at the size of a map (at
# most 128 = 2^7), and meet numbers up to the largest of the map.
ROUNDINGS = 8 * 2**7


def within(found, exact, largest, terms=1):
    """Whether results in a dtype are as near to exact ones as their arithmetic allows.

    `largest`: of the numbers that enter; `terms`: how many are added in no fixed order.
    """
    computed = torch.finfo(accumulate_dtype(found.dtype)).eps * ROUNDINGS * terms
    stored = torch.finfo(found.dtype).eps
    error = (found.double().cpu() - exact.double().cpu()).abs()
    assert (error <= largest * (computed + stored)).all(), float(error.max() / largest)


def in_double(tensors):
    return [x.detach().cpu().double() for x in tensors]


def test_the_bound_tells_a_wrong_weight():
    exact = torch.ones(3, dtype=torch.float64)
    within(exact.float() * (1 + 1e-5), exact, 1.0)
    with pytest.raises(AssertionError):
        within(exact.float() * 1.01, exact, 1.0)


@DTYPES
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_psroi_align(dtype, layout, reduce, ratio):
    features = random_features(0, (2, 245, 20, 23)).to(dtype).cuda().to(memory_format=layout)
    rois = random_rois(1, 200, 2, 180, accumulate_dtype(dtype))
    rois[3, 2], rois[4, 0], rois[5, 1:] = float("nan"), 7, 1e30
    rule = (1 / 8, 7, 7, 5, ratio, reduce)
    output, argmax = torch.ops.harness.psroi_align(features, rois.cuda(), *rule)
    (exact,) = in_double([features])
    wanted, indices = psroi_align_reference(exact, rois.double(), *rule)
    largest = float(exact.abs().max())
    within(output, wanted, largest)
    # a point on the edge of a map, or two of one value, may go either way: where the maximum is
    # another point its value must be the maximum as well, which `within` has just found
    assert (argmax.cpu() == indices).float().mean() > 0.99 or reduce == "mean"
    gradient = torch.arange(7.0).cos().expand(output.shape).to(dtype)
    backward = (argmax, list(features.shape), 1 / 8, ratio, reduce)
    found = torch.ops.harness.psroi_align_backward(gradient.cuda(), rois.cuda(), *backward)
    shares = (argmax.cpu(), *backward[1:])
    exact = psroi_align_backward_reference(gradient.double(), rois.double(), *shares)
    within(found, exact, float(gradient.abs().max()), terms=200)


def pyramid(dtype=torch.float32, images=2, count=100, size=(40, 46)):
    """Maps, and boxes of which each fourth has no area and some cannot be pooled."""
    maps = [
        random_features(s, (images, 245, size[0] // s, size[1] // s)).to(dtype) for s in (1, 2, 4)
    ]
    corners = random_rois(1, images * count, images, 4 * size[0], accumulate_dtype(dtype))[:, 1:]
    boxes = corners.view(images, count, 4)
    boxes[..., 2:] = boxes[..., :2] + (boxes[..., 2:] - boxes[..., :2]).abs() / 2
    boxes[:, ::4], boxes[0, 1, 2], boxes[1, 1, 3] = 0, float("nan"), 1e30
    return maps, boxes


MANY = {"images": 8, "count": 30, "size": (16, 20)}  # enough to be taken channel by channel


@DTYPES
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("size", [{}, MANY], ids=["few", "many"])
def test_psroi_align_multilevel(dtype, layout, reduce, ratio, size):
    maps, boxes = pyramid(dtype, **size)
    moved = [x.cuda().to(memory_format=layout) for x in maps]
    rule = ([4, 8, 16], 22.4, True)
    pooled = (7, 7, 5, ratio, reduce)
    output, argmax = torch.ops.harness.psroi_align_multilevel(moved, boxes.cuda(), *rule, *pooled)
    exact = in_double(maps)
    wanted, indices = psroi_align_multilevel_reference(exact, boxes.double(), *rule, *pooled)
    within(output, wanted, max(float(x.abs().max()) for x in exact))
    assert (argmax.cpu() == indices).float().mean() > 0.99 or reduce == "mean"
    gradient = torch.arange(7.0).cos().expand(output.shape).to(dtype)
    sizes = [side for x in maps for side in x.shape[2:]]
    last = layout == torch.channels_last
    backward = torch.ops.harness.psroi_align_multilevel_backward
    shares = (sizes, *rule, ratio, reduce, last)
    found = backward(gradient.cuda(), boxes.cuda(), argmax, *shares)
    exact = psroi_align_multilevel_backward_reference(
        gradient.double(), boxes.double(), argmax.cpu(), *shares
    )
    for one, other in zip(found, exact, strict=True):
        within(one, other, float(gradient.abs().max()), terms=200)


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
    assert_equal(kept, nms_padded_reference(boxes, valid, 0.5, limit))


@DTYPES
@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_nms_padded(dtype, method):
    boxes = random_boxes(0, 3, 333).to(dtype)
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand((3, 333, 2), generator=generator).to(dtype).transpose(1, 2)
    scores[1, 0], scores[2, 1, 5:] = 0, -1
    counts = torch.tensor([333, 0, 200])
    rule = (0.1, 0.4, 0.01, method, 0.5)
    final = torch.ops.harness.soft_nms_padded(boxes.cuda(), scores.cuda(), counts.cuda(), *rule)
    wanted = soft_nms_padded_reference(boxes, scores, counts, *rule)
    if method == "linear":  # products and quotients round alike everywhere, without FMA
        assert torch.equal(final.cpu(), wanted)
    else:  # a score is multiplied by an exp with an error of 2 ulp up to once a box
        eps = torch.finfo(accumulate_dtype(dtype)).eps
        torch.testing.assert_close(final.cpu(), wanted, rtol=333 * 3 * eps, atol=0)


@DTYPES
@pytest.mark.parametrize("limit", [100, 1000, 40000])
def test_select_anchors(dtype, limit):
    """At 40,000 neither the list nor the keys fit into shared memory."""
    logits = [random_features(k, (2, 3, 160 >> k, 160 >> k)).to(dtype) for k in range(4)]
    logits[1] = (logits[1] * 4).round()  # many are equal
    logits[2] = logits[2].to(memory_format=torch.channels_last)
    logits[3][0] = float("nan")
    deltas = [random_features(k, (2, 12, *x.shape[2:])).to(dtype) for k, x in enumerate(logits)]
    anchors = random_boxes(0, 1, sum(x[0].numel() for x in logits))[0]
    rule = (limit, 4.0, 99, 98, 1.0)
    wanted = select_anchors_reference(logits, deltas, anchors, *rule)
    moved = [[x.cuda() for x in maps] for maps in (logits, deltas)]
    found = torch.ops.harness.select_anchors(*moved, anchors.cuda(), *rule)
    assert torch.equal(found[2].cpu(), wanted[2])
    # exp errs by 2 ulp at most, and sides meet corners of at most 100
    eps = torch.finfo(torch.float32).eps
    torch.testing.assert_close(found[1].cpu(), wanted[1], rtol=8 * eps, atol=0)
    torch.testing.assert_close(found[0].cpu(), wanted[0], rtol=0, atol=8 * 40 * 55 * eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("limit", [100, 2000])
def test_select_boxes(dtype, limit):
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand((3, 200, 80), generator=generator).to(dtype).transpose(1, 2)
    boxes = random_boxes(0, 3, 200).to(dtype)[:, None].expand(-1, 80, -1, -1)
    kept = torch.rand((3, 80, 200), generator=generator).argsort(2)[..., :50]
    counts = torch.randint(51, (3, 80), generator=generator)
    for some in ((None, None), (kept, counts)):
        wanted = select_boxes_reference(boxes, scores, *some, limit, 0.5)
        moved = [x if x is None else x.cuda() for x in (boxes, scores, *some)]
        found = torch.ops.harness.select_boxes(*moved, limit, 0.5)
        assert_equal([x.cpu() for x in found], wanted)


@DTYPES
def test_separable_conv(dtype):
    sizes = ((40, 40), (20, 20), (5, 5))
    case = separable_case(0, 245, (49, 7, 1), sizes, 2, dtype)
    doubles = [[x.double() for x in column] for column in case]
    wanted = torch.ops.harness.separable_conv(*doubles, 248, True)
    moved = [[x.cuda() for x in column] for column in case]
    found = torch.ops.harness.separable_conv(*moved, 248, True)
    # 9 taps and up to 245 products of numbers near 1, then one rounding to the dtype
    eps, wide = torch.finfo(dtype).eps, torch.finfo(accumulate_dtype(dtype)).eps
    atol = 255 * wide * float(wanted.abs().max())
    torch.testing.assert_close(found.cpu().double(), wanted, rtol=eps, atol=atol)


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
    boxes, scores = random_boxes(0, 4, 50).cuda(), torch.rand(4, 3, 50).cuda()
    valid = scores[:, 0] > 0.2
    logits, deltas = [torch.randn(4, 3, 9, 9).cuda()], [torch.randn(4, 12, 9, 9).cuda()]
    anchors, shared = random_boxes(0, 1, 243)[0].cuda(), boxes[:, None].expand(-1, 3, -1, -1)
    features, rois = random_features(0, (1, 245, 20, 20)).cuda(), random_rois(1, 20, 1, 160).cuda()
    maps, regions = pyramid()
    maps, regions = [x.cuda() for x in maps], regions.cuda()
    photo = random_image(0, 480, 640).cuda()

    def run():
        pooled = psroi_align(features, rois, 1 / 8, 7, 5)
        level_pooled = psroi_align_multilevel(maps, regions, (4, 8, 16), 22.4, 7, 5)
        selected = select_anchors(logits, deltas, anchors, 20, (99, 99), 4.0)
        best = select_boxes(shared, scores, 20, 0.0)
        kept = nms_padded(boxes, valid, 0.5)
        scored = soft_nms_padded(boxes, scores)
        resized = resize_bilinear(photo, (320, 320))
        return pooled, level_pooled, *kept, scored, *selected, *best, resized

    wanted = run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    graph.replay()
    assert_equal(captured, wanted)
