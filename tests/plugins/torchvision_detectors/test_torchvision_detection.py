"""The wrapped detectors find what torchvision's own find."""

import pytest
import torch
from rivals import FASTER_RCNN, SSDLITE, build_detector
from torchvision.ops import box_iou

from harness.data.resize import ShortestSideResize


def run_torchvision(detector, images):
    with torch.inference_mode():
        return detector.model([image / 255 for image in images])


def assert_same(found, expected, atol=1e-4):
    torch.testing.assert_close(found["boxes"], expected["boxes"], rtol=0, atol=atol)
    torch.testing.assert_close(found["scores"], expected["scores"], rtol=0, atol=atol)
    assert found["labels"].tolist() == (expected["labels"] - 1).tolist()


def matched_share(found, expected, pixels, score):
    """Share of `expected` with a detection of the same label this close; order is free."""
    if not len(expected["boxes"]):
        return float(len(found["boxes"]) == 0)
    near = (found["boxes"][:, None] - expected["boxes"]).abs().amax(2) <= pixels
    near &= (found["scores"][:, None] - expected["scores"]).abs() <= score
    near &= found["labels"][:, None] == expected["labels"]
    return near.any(0).float().mean().item()


@pytest.mark.parametrize("batch", [1, 2])
def test_equals_torchvision_at_network_size(detector, picture, batch):
    images = [picture(320, 320, seed) for seed in range(batch)]
    found, expected = detector.predict(images), run_torchvision(detector, images)
    for ours, theirs in zip(found, expected, strict=True):
        assert len(theirs["boxes"]) > 20
        assert_same(ours, theirs)


@pytest.mark.parametrize("size", [(320, 400), (500, 320), (320, 639)])
def test_faster_rcnn_equals_torchvision_on_a_padded_image(faster_rcnn, picture, size):
    image = picture(*size)
    (found,), (expected,) = faster_rcnn.predict([image]), run_torchvision(faster_rcnn, [image])
    assert len(expected["boxes"]) > 20
    assert_same(found, expected)


@pytest.mark.parametrize("size", [(480, 640), (641, 427), (100, 900), (33, 32), (331, 500)])
def test_faster_rcnn_resizes_as_torchvision(faster_rcnn, picture, size):
    image = picture(*size)
    resized = faster_rcnn.resize(image)
    theirs, _ = faster_rcnn.model.transform.resize(image / 255)
    assert resized.pixels.shape == theirs.shape
    # torchvision resizes in floats; bytes are rounded once, with weights of 11 bits
    apart = (resized.pixels - theirs * 255).abs()
    assert apart.max() < 1
    assert apart.mean() < 0.3


@pytest.mark.parametrize("size", [(480, 640), (250, 200)])
def test_boxes_come_back_in_pixels_of_the_image(faster_rcnn, picture, size):
    image = picture(*size)
    resized = faster_rcnn.resize(image)
    (expected,) = run_torchvision(faster_rcnn, [resized.pixels])
    expected["boxes"] = expected["boxes"] / torch.tensor(resized.scale).flip(0).repeat(2)
    (found,) = faster_rcnn.predict([image])
    assert len(expected["boxes"]) > 20
    assert_same(found, expected, atol=1e-3)


@pytest.mark.parametrize("size", [(240, 400), (500, 333)])
def test_ssdlite_finds_the_same_where_only_rounding_differs(ssdlite, picture, size):
    image = picture(*size)
    (found,), (theirs,) = ssdlite.predict([image]), run_torchvision(ssdlite, [image])
    same_label = found["labels"][:, None] + 1 == theirs["labels"]
    best = (box_iou(found["boxes"], theirs["boxes"]) * same_label).amax(0)
    assert (best > 0.9).float().mean() > 0.9


@pytest.mark.slow
def test_an_image_does_not_feel_its_neighbours(detector, picture):
    sizes = [(320, 400), (500, 320), (320, 320), (240, 600), (320, 410)]
    images = [picture(*size, seed) for seed, size in enumerate(sizes)]
    for image, together in zip(images, detector.predict(images), strict=True):
        (alone,) = detector.predict([image])
        assert matched_share(together, alone, pixels=0.2, score=2e-3) >= 0.98
        assert abs(len(together["boxes"]) - len(alone["boxes"])) <= 2


def test_the_first_image_seen_does_not_set_the_pooling_scales(picture):
    detector = build_detector(FASTER_RCNN).eval()
    scales = list(detector.model.roi_heads.box_roi_pool.scales)
    assert scales == [1 / 32, 1 / 32]
    detector.predict([picture(10, 640)])
    assert detector.model.roi_heads.box_roi_pool.scales == scales


def test_detections_are_padded_best_first_and_inside_the_image(detector, picture):
    images = [picture(240, 400, 1), picture(320, 320, 2)]
    with torch.inference_mode():
        found = detector(detector.preprocess(images))
    assert found.boxes.shape == (2, detector.detections_per_image, 4)
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    for i, n in enumerate(found.counts.tolist()):
        assert (found.scores[i].diff() <= 0).all()
        assert not found.boxes[i, n:].any()
        assert not found.labels[i, n:].any()
        limits = torch.tensor(images[i].shape[1:]).flip(0).repeat(2) + 1e-3
        assert (found.boxes[i] >= 0).all()
        assert (found.boxes[i] <= limits).all()
        assert set(found.labels[i, :n].tolist()) <= set(range(5))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        (SSDLITE, {"score_threshold": 1.0}),
        (FASTER_RCNN, {"score_threshold": 1.0}),
        (FASTER_RCNN, {"proposal_threshold": 1.0}),
    ],
)
def test_finding_nothing_is_no_error(name, params, picture):
    detector = build_detector(name, **params).eval()
    for found in detector.predict([picture(320, 320), picture(200, 320)]):
        assert found["boxes"].shape == (0, 4)
        assert found["labels"].shape == (0,)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        (SSDLITE, {"topk_candidates": 7, "nms_threshold": 0.4, "detections_per_image": 11}),
        (FASTER_RCNN, {"proposals": 40, "nms_threshold": 0.4, "detections_per_image": 11}),
    ],
)
def test_params_reach_torchvision(name, params, picture):
    model = build_detector(name, score_threshold=0.02, **params).model
    knobs = model if name == SSDLITE else model.roi_heads
    assert (knobs.score_thresh, knobs.nms_thresh) == (0.02, 0.4)
    assert knobs.detections_per_img == 11
    if name == SSDLITE:
        assert model.topk_candidates == 7
    else:
        assert model.rpn._pre_nms_top_n["testing"] == 40
        assert model.rpn._post_nms_top_n["testing"] == 40


def test_defaults_are_torchvisions(detector):
    import torchvision.models.detection as zoo

    name = FASTER_RCNN if hasattr(detector.model, "rpn") else SSDLITE
    own = getattr(zoo, name)(weights=None, weights_backbone=None)
    pairs = [(detector.model, own)]
    if name == FASTER_RCNN:
        pairs = [(detector.model.roi_heads, own.roi_heads), (detector.model.rpn, own.rpn)]
        assert isinstance(detector.resize, ShortestSideResize)
        assert own.transform.min_size == (detector.resize.side,)
        assert own.transform.max_size == detector.resize.longest
        assert detector.model.rpn._post_nms_top_n == own.rpn._post_nms_top_n
        assert detector.model.rpn._pre_nms_top_n["testing"] == own.rpn._pre_nms_top_n["testing"]
    else:
        assert own.transform.fixed_size == (detector.resize.width, detector.resize.height)
        assert detector.model.topk_candidates == own.topk_candidates
    for ours, theirs in pairs:
        assert (ours.score_thresh, ours.nms_thresh) == (theirs.score_thresh, theirs.nms_thresh)
    assert detector.detections_per_image == pairs[0][1].detections_per_img


def test_roles_name_the_modules_that_run(detector, picture):
    seen = set()
    named = dict(detector.named_modules())
    prefixes = [prefix for role in detector.roles.values() for prefix in role]
    hooks = [
        named[prefix].register_forward_hook(lambda *_, prefix=prefix: seen.add(prefix))
        for prefix in prefixes
    ]
    detector.predict([picture(320, 320)])
    for hook in hooks:
        hook.remove()
    assert seen == set(prefixes)
    for name, _ in detector.named_parameters():
        assert sum(name.startswith(f"{prefix}.") for prefix in prefixes) == 1
