"""What every family of detectors is tried with: images, modes, losses on one batch, checkpoints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.batch import Targets
from harness.model.checkpoint import load_weights, read_checkpoint
from harness.model.detector import Detector
from harness.modes.build import build_runner
from harness.modes.runner import Runner

LEAST_FOUND = 20


def draw_images(count: int, *, alike: bool = False) -> list[Tensor]:
    """Patches of 20 pixels; of different sizes, or all of 240x320."""
    generator = torch.Generator().manual_seed(7)
    patches = torch.randint(0, 256, (count, 3, 12, 16), generator=generator).to(torch.uint8)
    large = patches.repeat_interleave(20, 2).repeat_interleave(20, 3)
    if alike:
        return list(large)
    return [image[:, : 240 - 30 * i, : 320 - 20 * i] for i, image in enumerate(large)]


def draw_targets(counts: Sequence[int], classes: int, *, tiny: bool = False) -> Targets:
    """Five rows an image, of which so many are boxes; some smaller than a cell if they are tiny."""
    generator = torch.Generator().manual_seed(3)
    low = torch.rand(len(counts), 5, 2, generator=generator) * 80
    shares = torch.rand(len(counts), 5, 2, generator=generator)
    sides = shares.square() * 120 if tiny else 10 + shares * 80
    labels = torch.randint(classes, (len(counts), 5), generator=generator)
    targets = Targets(torch.cat([low, low + sides], -1), labels, torch.tensor(counts))
    empty = ~targets.valid
    boxes = targets.boxes.masked_fill(empty[..., None], 0)
    return Targets(boxes, labels.masked_fill(empty, 0), targets.counts)


def losses_of(detector: Detector, targets: Targets, count: int = 3) -> dict[str, Tensor]:
    found = detector(detector.preprocess(draw_images(count)), targets)
    assert isinstance(found, dict)
    return found


@torch.no_grad()
def fuse_and_compare(detector: Detector, images: Sequence[Tensor]) -> Runner:
    """Asserts that `fused` finds what eager finds, which is something; the fused runner."""
    eager, fused = (build_runner(detector, mode) for mode in ("eager", "fused"))
    found, wanted = fused.detect(images), eager.detect(images)
    assert wanted.counts.min() > LEAST_FOUND
    assert torch.equal(found.counts, wanted.counts)
    torch.testing.assert_close(found.scores, wanted.scores, rtol=0, atol=1e-4)
    return fused


def assert_all_norms_are_folded(detector: Detector, fused: Runner) -> None:
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in detector.modules())
    assert fused.conditions["folded_norms"] == norms > 0


@torch.no_grad()
def assert_compiles_whole(detector: Detector, images: Sequence[Tensor]) -> None:
    """Without a break, with the same detections."""
    inputs = detector.preprocess(list(images))
    compiled = torch.compile(detector.forward, fullgraph=True, backend="eager")
    eager, found = detector(inputs), compiled(inputs)
    assert torch.equal(eager.counts, found.counts)
    torch.testing.assert_close(found.scores, eager.scores)
    torch.testing.assert_close(found.boxes, eager.boxes, rtol=1e-4, atol=1e-2)


def learn_one_batch(
    detector: Detector, targets: Targets, *, steps: int, lr: float
) -> list[Mapping[str, float]]:
    """The losses of each step; asserts that the first reaches every parameter."""
    inputs = detector.preprocess(draw_images(len(targets.counts), alike=True))
    optimizer = torch.optim.AdamW(detector.parameters(), lr=lr)
    history: list[Mapping[str, float]] = []
    for _ in range(steps):
        losses = detector(inputs, targets)
        assert isinstance(losses, dict)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        if not history:
            assert [n for n, p in detector.named_parameters() if p.grad is None] == []
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in losses.items()})
    return history


def learn_without_boxes(detector: Detector, width: int, classes: int) -> dict[str, Tensor]:
    """Losses of three images that have none, padded to a width; asserts finite gradients."""
    targets = draw_targets([0, 0, 0], classes)
    narrow = Targets(targets.boxes[:, :width], targets.labels[:, :width], targets.counts)
    losses = losses_of(detector, narrow)
    torch.stack(list(losses.values())).sum().backward()
    gradients = [p.grad for p in detector.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    return losses


@torch.no_grad()
def assert_weights_make_the_detector(first: Any, second: Any, folder: Path) -> None:
    """Saved and loaded, the weights of one make another detector find the same."""
    inputs = first.preprocess(draw_images(1))
    wanted = first(inputs)
    assert not torch.equal(second(inputs).boxes, wanted.boxes)
    torch.save(first.state_dict(), folder / "w.pt")
    report = load_weights(second, read_checkpoint(folder / "w.pt"))
    assert not list(report.lines())
    found = second(inputs)
    assert torch.equal(found.boxes, wanted.boxes)
    assert torch.equal(found.scores, wanted.scores)
