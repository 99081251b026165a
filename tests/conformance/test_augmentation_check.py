"""The kit's check of augmentations: the shipped ones pass, and each fault is found."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.conformance.kit import check_entry
from harness.plugin import Augmentation, NoParams
from harness.plugin.manager import load_plugins
from harness.plugin.testing import NonconformingError, check_augmentation

SHIPPED = [entry.declaration for entry in load_plugins().entries("augmentation")]
Target = dict[str, Any]


def brightens_in_place(image: Tensor, target: Target) -> Any:
    image += 1
    return image, target


def draws_elsewhere(image: Tensor, target: Target) -> Any:
    return torch.clamp(image, max=random.randint(1, 250)), target


def scales(image: Tensor, target: Target) -> Any:
    return image / 255, target


def forgets_labels(image: Tensor, target: Target) -> Any:
    return image, {**target, "labels": target["labels"][:1]}


def makes_plain_boxes(image: Tensor, target: Target) -> Any:
    return image, {**target, "boxes": target["boxes"].as_subclass(Tensor)}


def invents(image: Tensor, target: Target) -> Any:
    labels = torch.cat([target["labels"], torch.zeros(1, dtype=torch.int64)])
    boxes = type(target["boxes"])(
        torch.cat([target["boxes"].as_subclass(Tensor), torch.ones(1, 4)]),
        format="XYXY", canvas_size=image.shape[-2:],
    )  # fmt: skip
    return image, {"boxes": boxes, "labels": labels}


def needs_boxes(image: Tensor, target: Target) -> Any:
    target["boxes"].amax(0)
    return image, target


FAULTS = {
    brightens_in_place: "writes to the image or the target",
    draws_elsewhere: "gives another sample for the same seed",
    scales: "gives pixels of torch.float32",
    forgets_labels: "gives boxes of shape (2, 4) with 1 labels",
    makes_plain_boxes: "not tv_tensors.BoundingBoxes in XYXY",
    invents: "gives boxes where there was none",
    needs_boxes: "an image without boxes raises: IndexError",
}


@pytest.mark.parametrize("declaration", SHIPPED, ids=lambda d: d.name)
def test_the_shipped_ones_pass(declaration: Augmentation) -> None:
    assert check_entry(declaration).word == "passes"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_fault_is_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Augmentation("faulty", f"{__name__}:{fault.__name__}", NoParams, "wrong")
    monkeypatch.setattr(Augmentation, "load", lambda self: lambda: fault)
    with pytest.raises(NonconformingError) as caught:
        check_augmentation(made)
    assert FAULTS[fault] in str(caught.value)
    assert check_entry(made).word == "wrong"
