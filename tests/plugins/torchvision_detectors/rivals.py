"""Detectors with weights that find things, and targets by hand."""

import torch
from torch import nn

from harness.data.batch import Targets
from harness_plugins.torchvision_detectors import harness_detectors

SSDLITE, FASTER_RCNN = (d.name for d in harness_detectors())


def build_detector(name, num_classes=5, seed=0, **params):
    """One with weights that find things: torchvision's own start is close to a tie everywhere."""
    declaration = next(d for d in harness_detectors() if d.name == name)
    torch.manual_seed(seed)
    detector = declaration.load()(num_classes, **declaration.params(**params).model_dump())
    return detector


def sharpen(detector):
    """Random weights under which scores differ, boxes move and batch norm matters."""
    generator = torch.Generator().manual_seed(3)
    for name, module in detector.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
        if isinstance(module, nn.Conv2d) and "backbone" in name:
            nn.init.kaiming_normal_(module.weight, generator=generator)
    model = detector.model
    if hasattr(model, "rpn"):
        model.rpn.head.cls_logits.weight.data.mul_(30)
        model.roi_heads.box_predictor.cls_score.weight.data.mul_(8)
    else:
        for block in model.head.classification_head.module_list:
            block[-1].weight.data.mul_(20)
    return detector.eval()


def make_targets(*per_image):
    """Each image's boxes as (x1, y1, x2, y2, label) -> Targets."""
    rows = max([1, *(len(boxes) for boxes in per_image)])
    table = torch.zeros(len(per_image), rows, 5)
    for i, boxes in enumerate(per_image):
        if boxes:
            table[i, : len(boxes)] = torch.tensor(boxes, dtype=torch.float32)
    counts = torch.tensor([len(boxes) for boxes in per_image])
    return Targets(table[..., :4], table[..., 4].long(), counts)
