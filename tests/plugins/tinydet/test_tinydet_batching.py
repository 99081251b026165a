"""Batches, padding and images without ground truth."""

import pytest
import torch
from tinydet_golden import as_inputs, build, draw_pixels, load_drawn_weights
from torch import Tensor

from harness.data.batch import Inputs, Targets
from harness.model.two_stage import TwoStageDetector
from harness.plugin.testing import check_images_stand_alone


@pytest.fixture(scope="module", params=["S", "M"])
def detector(request: pytest.FixtureRequest) -> TwoStageDetector:
    detector = build(request.param, num_classes=6, samples=None, positive_fraction=1.0)
    load_drawn_weights(detector, 0)
    return detector.eval()


@pytest.fixture
def pixels(detector: TwoStageDetector) -> Tensor:
    return draw_pixels(1, "batch", 3, 320)


def test_detections_do_not_depend_on_the_batch(detector: TwoStageDetector, pixels: Tensor) -> None:
    inputs = as_inputs(pixels)
    inputs = Inputs(
        inputs.pixels,
        inputs.sizes,
        torch.tensor([[1.0, 1.0], [0.5, 2.0], [0.7, 0.6]]),
        inputs.image_sizes,
    )
    check_images_stand_alone(detector, inputs, pixels=1e-3)


@torch.no_grad()
def test_detections_are_sorted_padded_and_inside(
    detector: TwoStageDetector, pixels: Tensor
) -> None:
    found = detector(as_inputs(pixels))
    assert found.boxes.shape == (3, 100, 4)
    assert (found.scores[:, 1:] <= found.scores[:, :-1]).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes <= 320).all()
    assert (found.boxes[..., 2:] >= found.boxes[..., :2]).all()
    padding = torch.arange(100) >= found.counts[:, None]
    assert not found.boxes[padding].any()
    assert not found.scores[padding].any()


@torch.no_grad()
def test_few_detections_leave_padding(detector: TwoStageDetector, pixels: Tensor) -> None:
    outputs = detector.network(as_inputs(pixels))
    logits = torch.zeros_like(outputs.logits)
    logits[:, 0] = 20
    logits[5, 3] = 25
    found = detector.box_head.detect(outputs.proposals, logits, outputs.deltas, as_inputs(pixels))
    assert found.counts.tolist() == [1, 0, 0]
    assert found.labels[0, 0] == 2
    assert not found.boxes[1:].any()


def targets(boxes: list[list[list[float]]], rows: int) -> Targets:
    padded = torch.zeros(len(boxes), rows, 4)
    labels = torch.zeros(len(boxes), rows, dtype=torch.int64)
    for i, image in enumerate(boxes):
        padded[i, : len(image)] = torch.tensor(image).reshape(-1, 4)
        labels[i, : len(image)] = torch.arange(len(image))
    return Targets(padded, labels, torch.tensor([len(image) for image in boxes]))


BOXES = [[[30, 40, 90, 120], [200, 10, 310, 80]], [[5, 5, 37, 37]]]


def losses(detector: TwoStageDetector, pixels: Tensor, wanted: Targets) -> dict[str, float]:
    with torch.no_grad():
        values = detector.losses(as_inputs(pixels), wanted)
    return {name: value.item() for name, value in values.items()}


@pytest.mark.slow
def test_padding_of_ground_truth_changes_nothing(
    detector: TwoStageDetector, pixels: Tensor
) -> None:
    tight = losses(detector, pixels[:2], targets(BOXES, 2))
    loose = losses(detector, pixels[:2], targets(BOXES, 9))
    assert loose == pytest.approx(tight, rel=1e-5)
    assert all(value > 0 for value in tight.values())


@pytest.mark.parametrize("rows", [0, 3])
def test_no_ground_truth_gives_background_losses(
    detector: TwoStageDetector, pixels: Tensor, rows: int
) -> None:
    values = losses(detector, pixels[:2], targets([[], []], rows))
    assert values["loss_rpn_cls"] > 0
    assert values["loss_cls"] > 0
    assert values["loss_rpn_bbox"] == values["loss_bbox"] == 0


@pytest.mark.slow
def test_an_image_without_ground_truth_beside_one_with_some(
    detector: TwoStageDetector, pixels: Tensor
) -> None:
    detector.zero_grad()
    result = detector.losses(as_inputs(pixels[:2]), targets([BOXES[0], []], 2))
    sum(result.values()).backward()
    gradients = [p.grad for p in detector.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    detector.zero_grad()


def test_degenerate_ground_truth_stays_finite(detector: TwoStageDetector, pixels: Tensor) -> None:
    thin = [[[10, 10, 10.001, 300], [0, 0, 320, 320], [319, 319, 320, 320]]]
    values = losses(detector, pixels[:1], targets(thin, 3))
    assert all(torch.tensor(list(values.values())).isfinite())


def test_train_and_test_count_proposals_differently(
    detector: TwoStageDetector, pixels: Tensor
) -> None:
    with torch.no_grad():
        outputs = detector.rpn(detector.features(pixels))
        test = detector.rpn.propose(outputs)
        detector.rpn.train()
        train = detector.rpn.propose(outputs)
        detector.rpn.eval()
    assert test.boxes.shape == (3, 200, 4)
    assert train.boxes.shape == (3, 2000, 4)
    assert torch.equal(train.boxes[:, :50], test.boxes[:, :50])


def test_features_of_another_size_are_refused(detector: TwoStageDetector) -> None:
    with pytest.raises(ValueError, match="anchors are for images"), torch.no_grad():
        detector.rpn(detector.features(torch.zeros(1, 3, 256, 320)))
