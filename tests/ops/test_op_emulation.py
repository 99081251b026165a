"""The bodies of the CUDA kernels on emulated threads, against the references; no GPU needed.

Threads take turns at random, differently with each seed, so what depends on their order shows.
"""

import ctypes
import math
import os
import subprocess

import emulated
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import (
    SEEDS,
    assert_equal,
    draw_anchors,
    draw_kept,
    draw_pyramid,
    draw_scores,
    grid_boxes,
    random_boxes,
    random_image,
    separable_case,
)

from harness.ops.nms import nms_padded_reference
from harness.ops.resize import resize_bilinear_reference
from harness.ops.select_anchors import select_anchors_reference
from harness.ops.select_boxes import select_boxes_reference
from harness.ops.separable import separable_conv_reference
from harness.ops.soft_nms import soft_nms_padded_reference

pytestmark = [pytest.mark.slow, pytest.mark.newest]  # no version of torch has a part in them

FLOATS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Before hypothesis would take a compiler's error for a case to be made smaller."""
    emulated.library()


def spoil(generator, boxes):
    """Some corners that are not finite, or large enough to overflow an area."""
    odd = torch.tensor([math.nan, math.inf, -math.inf, 1e38, -1e38, 0.0])
    chosen = torch.rand(boxes.shape, generator=generator) < 0.02
    return torch.where(chosen, odd[torch.randint(6, boxes.shape, generator=generator)], boxes)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_nms(data):
    generator = torch.Generator().manual_seed(data.draw(SEEDS))
    groups = data.draw(st.integers(1, 2))
    size = data.draw(st.one_of(st.sampled_from([0, 1, 63, 64, 65, 128]), st.integers(0, 300)))
    boxes = grid_boxes(generator, groups, size, data.draw(st.sampled_from([2, 8, 40])))
    if data.draw(st.booleans()):
        boxes = spoil(generator, boxes)
    valid = torch.rand((groups, size), generator=generator) < data.draw(st.floats(0, 1))
    if data.draw(st.booleans()):
        valid[:, 40:200] = False  # whole chunks of padding in the middle
    threshold = data.draw(st.sampled_from([-1.0, 0.0, 1 / 3, 0.5, 2 / 3, 0.7, 1.0]))
    if data.draw(st.booleans()):
        valid = torch.randint(size + 1, (groups,), generator=generator)
    arguments = (boxes, valid, threshold, data.draw(st.integers(0, size + 3)))
    threads, seed = data.draw(st.sampled_from([64, 128, 256])), data.draw(SEEDS)
    found = emulated.nms(*arguments, threads=threads, seed=seed)
    assert_equal(found, nms_padded_reference(*arguments))


@FLOATS
@pytest.mark.parametrize("limit", [1300, 1100, 30])
def test_nms_keeps_more_boxes_than_shared_memory_holds(dtype, limit):
    """16 KiB: 1024 boxes in float32, 512 in float64."""
    boxes = random_boxes(0, 1, 1300, dtype)
    boxes *= 100  # far apart, but not all of them
    boxes[..., 2:] = boxes[..., :2] + 60
    arguments = (boxes, torch.ones(1, 1300, dtype=torch.bool), 0.2, limit)
    found = emulated.nms(*arguments, threads=512)
    assert_equal(found, nms_padded_reference(*arguments))
    assert int(found[1]) == min(limit, int(nms_padded_reference(*arguments[:3], 1300)[1]))
    assert limit < 1300 or int(found[1]) > 1024


def test_nms_follows_a_chain_through_a_chunk():
    """Each box suppresses the next if it is kept itself: every second one stays."""
    left = torch.arange(150.0) * 4
    boxes = torch.stack([left, left * 0, left + 10, left * 0 + 1], 1)[None]
    arguments = (boxes, torch.ones(1, 150, dtype=torch.bool), 0.3, 150)
    indices, counts = emulated.nms(*arguments)
    assert counts.tolist() == [75]
    assert indices[0, :75].tolist() == list(range(0, 150, 2))


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_soft_nms(data):
    generator = torch.Generator().manual_seed(data.draw(SEEDS))
    images, classes = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    size = data.draw(st.one_of(st.sampled_from([0, 1, 31, 32, 33]), st.integers(0, 90)))
    boxes = grid_boxes(generator, images, size, data.draw(st.sampled_from([2, 8, 40])))
    if data.draw(st.booleans()):
        boxes = spoil(generator, boxes)
    # few values, so that many are equal
    scores = torch.randint(-2, 7, (images, classes, size), generator=generator) / 8
    scores[torch.rand(scores.shape, generator=generator) < 0.05] = math.nan
    counts = torch.randint(size + 1, (images,), generator=generator)
    present = (data.draw(st.sampled_from([None, counts])), data.draw(st.sampled_from([0.0, 0.2])))
    method = data.draw(st.sampled_from(["linear", "gaussian"]))
    threshold = data.draw(st.sampled_from([0.0, 0.25, 0.5]))
    min_score = data.draw(st.sampled_from([0.0, 0.05]))
    arguments = (boxes, scores, *present, threshold, min_score, method, 0.5)
    threads, seed = data.draw(st.sampled_from([32, 64, 128])), data.draw(SEEDS)
    found = emulated.soft_nms(*arguments, threads=threads, seed=seed)
    wanted = soft_nms_padded_reference(*arguments)
    if method == "linear":
        assert torch.equal(found, wanted)
    else:  # the last bit of exp differs between libraries
        torch.testing.assert_close(found, wanted)


@FLOATS
@pytest.mark.parametrize(("threads", "size"), [(32, 200), (128, 80)])
def test_soft_nms_of_a_class_full_of_boxes(dtype, threads, size):
    boxes = random_boxes(1, 2, size, dtype)
    scores = torch.rand((2, 2, size), generator=torch.Generator().manual_seed(1), dtype=dtype)
    arguments = (boxes, scores, None, 0.0, 0.5, 0.001, "linear", 0.5)
    found = emulated.soft_nms(*arguments, threads=threads)
    assert torch.equal(found, soft_nms_padded_reference(*arguments))


def draw_memory(data):
    """How a block of the selecting kernels works."""
    return {
        "threads": data.draw(st.sampled_from([32, 64, 128])),
        "seed": data.draw(SEEDS),
        "far": data.draw(st.booleans()),
        "keeps_keys": data.draw(st.booleans()),
    }


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_select_anchors(data):
    arguments = draw_anchors(data.draw)
    found = emulated.select_anchors(*arguments, **draw_memory(data))
    wanted = select_anchors_reference(*arguments)
    assert torch.equal(found[2], wanted[2])
    # the last bit of exp differs between libraries
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_select_boxes(data):
    generator = torch.Generator().manual_seed(data.draw(SEEDS))
    images, groups = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    size = data.draw(st.one_of(st.sampled_from([1, 32, 85]), st.integers(1, 90)))
    scores = draw_scores(generator, (images, groups, size), data.draw(st.integers(0, 2)))
    boxes = random_boxes(1, images * groups, size).view(images, groups, size, 4)
    kept = draw_kept(data.draw, generator, images, groups, size)
    limit = data.draw(st.one_of(st.integers(0, 10), st.sampled_from([64, 100, 300])))
    threshold = data.draw(st.sampled_from([-math.inf, -1.0, 0.0]))
    arguments = (boxes, scores, *kept, limit, threshold)
    found = emulated.select_boxes(*arguments, **draw_memory(data))
    assert_equal(found, select_boxes_reference(*arguments))


@pytest.mark.parametrize(("values", "limit"), [(0, 1000), (1, 1000), (0, 3000)])
def test_a_large_level_is_selected_from(values, limit):
    """As many anchors as a photo's finest map has, scores that share their first digits."""
    generator = torch.Generator().manual_seed(0)
    logits = [draw_scores(generator, (1, 3, 40, 40), values)]
    deltas, anchors = [torch.zeros(1, 12, 40, 40)], random_boxes(0, 1, 4800)[0]
    arguments = (logits, deltas, anchors, limit, 1.5, 99, 99, 0.0)
    found = emulated.select_anchors(*arguments, threads=256)
    torch.testing.assert_close(found, select_anchors_reference(*arguments), rtol=1e-6, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_separable_conv(data):
    draw = data.draw
    groups = [draw(st.sampled_from([1, 3, 7])) for _ in range(draw(st.integers(1, 3)))]
    sizes = [(draw(st.integers(1, 6)), draw(st.integers(1, 9))) for _ in groups]
    case = separable_case(draw(SEEDS), 21, groups, sizes, draw(st.integers(1, 2)), torch.float64)
    arguments = (*case, 21 + draw(st.integers(0, 4)), draw(st.booleans()))
    threads = draw(st.sampled_from([1, 7, 32]))
    large = draw(st.booleans())
    found = emulated.separable_conv(*arguments, large=large, threads=threads, seed=draw(SEEDS))
    torch.testing.assert_close(found, separable_conv_reference(*arguments))


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_psroi_align_multilevel(data):
    """Box by box, with and without a table of reads, and channel by channel."""
    draw = data.draw
    layout = draw(st.sampled_from(["contiguous", "channels_last"]))
    maps, boxes, rule = draw_pyramid(draw, layout)
    ways = ["boxes", "table"]
    ways += ["planes"] * (layout == "contiguous" and rule[-2] > 0)
    crew = {"way": draw(st.sampled_from(ways)), "threads": draw(st.sampled_from([32, 64]))}
    output, argmax = emulated.psroi_align_multilevel(maps, boxes, *rule, **crew)
    wanted, indices = torch.ops.harness.psroi_align_multilevel(maps, boxes, *rule)
    torch.testing.assert_close(output, wanted, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(argmax, indices)

    weights = torch.arange(output.numel(), dtype=torch.float32).view_as(output).cos()
    before = -7.0 if crew["way"] == "planes" else 0.0
    gradients = [torch.full_like(x, before) for x in maps]
    emulated.psroi_align_multilevel_backward(gradients, weights, argmax, boxes, *rule, **crew)
    sizes = [side for x in maps for side in x.shape[2:]]
    backward = torch.ops.harness.psroi_align_multilevel_backward
    settings_of_it = (*rule[:3], rule[6], rule[7], layout == "channels_last")
    expected = backward(weights, boxes, indices, sizes, *settings_of_it)
    torch.testing.assert_close(gradients, expected)


SIDES = st.one_of(st.sampled_from([1, 2, 31, 32, 33, 64]), st.integers(1, 70))


@settings(max_examples=25, deadline=None)
@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.booleans(), st.booleans(), SEEDS)
def test_resize_bilinear(old, new, interleaved, halved, seed):
    """Also fewer threads than columns, and of an image that is a window of another."""
    if halved:
        old = (2 * new[0], 2 * new[1])
    image = random_image(seed, old[0] + 2, old[1] + 3)[:, 1:-1, 2:-1]
    for read in (image, image.contiguous()):
        found = emulated.resize_bilinear(read, *new, interleaved, seed=seed)
        assert torch.equal(found, resize_bilinear_reference(read, *new, interleaved))


def test_division_by_a_product_is_exact():
    divide = emulated.library().divide
    for divisor in (1, 2, 3, 7, 49, 64, 65535, 2**20 + 1):
        for largest in (255, 2**16, 2**31):
            numbers = {0, 1, divisor - 1, divisor, largest - 1, largest, largest // divisor}
            numbers |= {n * divisor + k for n in (1, 2, 5, 1000) for k in (-1, 0, 1)}
            for number in (n for n in numbers if n <= largest):
                arguments = (
                    ctypes.c_uint32(number),
                    ctypes.c_int64(divisor),
                    ctypes.c_int64(largest),
                )
                assert divide(*arguments) == number // divisor


@pytest.fixture(scope="module")
def races(tmp_path_factory):
    target = tmp_path_factory.mktemp("races") / "races"
    flags = ("-O1", "-g", "-fsanitize=thread")
    try:
        return emulated.compile_cpp("races.cpp", target, *flags)
    except subprocess.CalledProcessError:
        pytest.skip("needs a compiler with ThreadSanitizer")


def run(command):
    options = {"TSAN_OPTIONS": "halt_on_error=1"}
    return subprocess.run(
        command, env={**os.environ, **options}, capture_output=True, text=True, check=False
    )


def test_real_threads_do_not_race(races):
    done = run([races])
    assert done.returncode == 0, done.stderr
    assert "no race" in done.stdout


def test_a_race_would_be_seen(races):
    done = run([races, "on purpose"])
    assert done.returncode != 0
    assert "data race" in done.stderr
