"""Detectors whose weights find things, of every family, small enough for a test."""

import torch
from torch import Tensor, nn

import harness
from harness.model.detector import Detector
from harness.model.types import Detections

MODES = ("eager", "fused", "compiled", "cuda_graph")  # torch's
TINY = "detectors.tinydet_s"
SUITE = "suites/tinydet.yaml"
TIMM = [
    f"{TINY}.backbone.use=timm",
    f"{TINY}.backbone.params.model=mobilenetv3_small_100",
    f"{TINY}.backbone.params.out_indices=[1, 2, 3, 4]",
]


def build(name: str, overrides: list[str] | None = None, seed: int = 0) -> Detector:
    """With batch norms that matter and scores that differ."""
    torch.manual_seed(seed)
    detector = harness.build(SUITE, name, classes=4, overrides=overrides or [])
    generator = torch.Generator().manual_seed(seed + 1)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.8, 1.2, generator=generator)
            module.weight.data.uniform_(0.8, 1.2, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
    for layer in _scorers(detector):
        layer.weight.data.mul_(30)
    return detector.eval()


def draw_images(count: int = 2) -> list[Tensor]:
    """Coarse random patches: something with edges."""
    generator = torch.Generator().manual_seed(7)
    patches = torch.randint(0, 256, (count, 3, 12, 16), generator=generator).to(torch.uint8)
    return list(patches.repeat_interleave(20, 2).repeat_interleave(20, 3))


def assert_same(found: Detections, wanted: Detections) -> None:
    """The same set but for rounding: boxes close to the score limit may come or go."""
    assert wanted.counts.min() > 20
    torch.testing.assert_close(found.scores, wanted.scores, rtol=0, atol=2e-3)


def _scorers(detector: Detector) -> list[nn.Module]:
    names = ("rpn_cls", "fc_cls", "cls_logits", "cls_score")
    found = [m for n, m in detector.named_modules() if n.rpartition(".")[2] in names]
    head = getattr(getattr(detector, "model", None), "head", None)
    if head is not None:
        found += [block[-1] for block in head.classification_head.module_list]
    return found
