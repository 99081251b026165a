"""The wrapped detectors' losses are torchvision's own."""

from copy import deepcopy

import pytest
import torch
from rivals import FASTER_RCNN, SSDLITE, build_detector, make_targets

from harness.data.batch import Inputs
from harness.data.resize import collate_images
from harness.errors import UserError

pytestmark = pytest.mark.slow

TWO_BOXES = [(20, 30, 90, 120, 0), (150, 40, 310, 300, 4)]
ONE_BOX = [(5, 5, 60, 45, 2)]


def as_batch(detector, images):
    return detector.prepare(collate_images([detector.resize(image) for image in images]))


def own_losses(detector, images, targets):
    detector = deepcopy(detector).train()
    inputs = as_batch(detector, images)
    torch.manual_seed(5)
    return detector.losses(inputs, targets)


def torchvision_losses(detector, images, targets, scale=1.0):
    model = deepcopy(detector.model).train()
    # torchvision draws a random number for each image's size first
    model.transform.register_forward_hook(lambda *_: torch.manual_seed(5) and None)
    wanted = [
        {"boxes": targets.boxes[i, :n] * scale, "labels": targets.labels[i, :n] + 1}
        for i, n in enumerate(targets.counts.tolist())
    ]
    return model([detector.resize(image).pixels / 255 for image in images], wanted)


def assert_same_losses(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, loss in theirs.items():
        torch.testing.assert_close(ours[name], loss, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("boxes", [(TWO_BOXES, ONE_BOX), (TWO_BOXES, []), ([], [])])
def test_losses_equal_torchvisions(detector, picture, boxes):
    images, targets = [picture(320, 320, 1), picture(320, 320, 2)], make_targets(*boxes)
    assert_same_losses(
        own_losses(detector, images, targets), torchvision_losses(detector, images, targets)
    )


def test_losses_equal_torchvisions_on_images_of_mixed_shapes(faster_rcnn, picture):
    images = [picture(320, 400, 1), picture(500, 320, 2), picture(320, 320, 3)]
    targets = make_targets(TWO_BOXES, ONE_BOX, [])
    assert_same_losses(
        own_losses(faster_rcnn, images, targets), torchvision_losses(faster_rcnn, images, targets)
    )


def test_targets_are_in_pixels_of_the_image(detector, picture):
    images, targets = [picture(640, 640, 1), picture(640, 640, 2)], make_targets(TWO_BOXES, ONE_BOX)
    assert_same_losses(
        own_losses(detector, images, targets),
        torchvision_losses(detector, images, targets, scale=0.5),
    )


@pytest.mark.parametrize("name", [SSDLITE, FASTER_RCNN])
@pytest.mark.parametrize("boxes", [(TWO_BOXES, ONE_BOX), ([], [])])
def test_every_weight_gets_a_finite_gradient(name, picture, boxes):
    detector = build_detector(name).train()
    losses = detector(
        as_batch(detector, [picture(320, 320, 1), picture(300, 320, 2)]), make_targets(*boxes)
    )
    sum(losses.values()).backward()
    for parameter in detector.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    assert next(detector.parameters()).grad.any() == bool(boxes[0] or name == FASTER_RCNN)


def test_losses_leave_the_mode_alone(detector, picture):
    detector.eval()
    inputs = as_batch(detector, [picture(320, 320)])
    losses = detector.losses(inputs, make_targets(TWO_BOXES))
    assert all(loss.isfinite() for loss in losses.values())
    assert not any(module.training for module in detector.modules())


def test_half_precision_keeps_the_anchors_where_they_are(detector, picture):
    images = [picture(320, 320, 1), picture(320, 320, 2)]
    targets = make_targets(TWO_BOXES, ONE_BOX)
    expected = own_losses(detector, images, targets)
    seen = []
    model = detector.model
    generator = model.rpn.anchor_generator if hasattr(model, "rpn") else model.anchor_generator
    hook = generator.register_forward_hook(lambda _, __, anchors: seen.append(anchors[0]))
    with torch.autocast("cpu", torch.bfloat16):
        found = own_losses(detector, images, targets)
    hook.remove()
    assert all(anchors.dtype == torch.float32 for anchors in seen)
    for name, loss in found.items():
        torch.testing.assert_close(loss.float(), expected[name], rtol=0.15, atol=0.05)


def test_one_image_a_step_is_refused_by_ssdlite(picture):
    detector = build_detector(SSDLITE).train()
    with pytest.raises(UserError, match="batch_size of 2"):
        detector.losses(as_batch(detector, [picture(320, 320)]), make_targets(ONE_BOX))


def test_padding_is_not_seen(faster_rcnn, picture):
    inputs = as_batch(faster_rcnn, [picture(320, 400)])
    dirty = inputs.pixels.clone()
    dirty[:, :, :, 400:] = 1e3
    altered = Inputs(dirty, inputs.sizes, inputs.scales, inputs.image_sizes)
    with torch.inference_mode():
        clean, soiled = faster_rcnn(inputs), faster_rcnn(altered)
    assert torch.equal(clean.boxes, soiled.boxes)
