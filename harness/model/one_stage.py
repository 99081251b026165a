"""A one-stage detector assembled from parts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from harness.data.batch import Inputs, Targets
from harness.manifest.schema import Input
from harness.model.assemble import PartsBuilder
from harness.model.assembled import AssembledDetector
from harness.model.candidates import suppress
from harness.model.parts import TrainingMaps
from harness.model.types import AnchorLevel, Detections


@dataclass(frozen=True)
class OneStageOutputs:
    """What the dense head makes of the neck's maps; only the head knows its form."""

    head: Any


class OneStageDetector(AssembledDetector):
    """backbone -> neck -> dense head -> NMS.

    A part may say where published checkpoints have its weights: `checkpoint_name`, a dotted
    path such as "backbone.backbone". It is then registered there, so that these files load as
    they are; see `place_parts`.

    Args:
        auxiliary: modules that only the losses use, by the name under which they are registered.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module,
        dense_head: nn.Module,
        classes: tuple[str, ...],
        given: Input,
        auxiliary: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__(classes, given)
        self.auxiliary_names = tuple(auxiliary or {})
        self.places = place_parts(self, {"backbone": backbone, "neck": neck, "head": dense_head})
        for name, module in (auxiliary or {}).items():
            self.add_module(name, module)

    @property
    def roles(self) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]
        return {role: (path,) for role, path in self.places.items()}

    @property
    def training_only(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"{name}." for name in self.auxiliary_names)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        begin = getattr(self.part("head"), "begin_epoch", None)
        if begin is not None:
            begin(epoch, epochs)

    def begin_last_phase(self) -> None:
        begin = getattr(self.part("head"), "begin_last_phase", None)
        if begin is not None:
            begin()

    def part(self, role: str) -> Any:
        """The module with the role "backbone", "neck" or "head"."""
        module: Any = self
        for name in self.places[role].split("."):
            module = getattr(module, name)
        return module

    @property
    def selection(self) -> Mapping[str, Any]:  # type: ignore[override]
        chosen: Mapping[str, Any] = self.part("head").selection
        return chosen

    def anchor_levels(self, size: tuple[int, int]) -> list[AnchorLevel]:
        lay = getattr(self.part("head"), "anchor_levels", None)
        levels: list[AnchorLevel] = [] if lay is None else lay(size)
        return levels

    @property
    def positive_iou(self) -> float | None:
        limit: float | None = getattr(self.part("head"), "positive_iou", None)
        return limit

    def network(self, inputs: Inputs) -> OneStageOutputs:
        maps = self.part("neck")(self.part("backbone")(inputs.pixels))
        return OneStageOutputs(self.part("head")(maps))

    def postprocess(self, outputs: OneStageOutputs, inputs: Inputs) -> Detections:
        head = self.part("head")
        found = suppress(head.decode(outputs.head), head.nms_iou, head.detections)
        return replace(found, boxes=head.frame.to_image(found.boxes, inputs))

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        head = self.part("head")
        of_backbone = self.part("backbone")(inputs.pixels)
        of_neck = self.part("neck")(of_backbone)
        auxiliary = {name: self.get_submodule(name) for name in self.auxiliary_names}
        given = TrainingMaps(of_backbone, of_neck, auxiliary)
        targets = replace(targets, boxes=head.frame.to_network(targets.boxes, inputs))
        losses: dict[str, Tensor] = head.losses(head(of_neck), targets, given)
        return losses


def place_parts(detector: nn.Module, parts: Mapping[str, nn.Module]) -> dict[str, str]:
    """Register each part under its `checkpoint_name`; role -> dotted path.

    A path may lead into another part, as YOLOX's backbone is inside what also has its neck. Where
    two parts of different families claim one path, all are registered under their roles.
    """
    places = {role: getattr(part, "checkpoint_name", role) for role, part in parts.items()}
    if len(set(places.values())) < len(places):
        places = dict(zip(parts, parts, strict=True))
    for role, path in sorted(places.items(), key=lambda item: item[1].count(".")):
        *parents, name = path.split(".")
        module = detector
        for parent in parents:
            if not hasattr(module, parent):
                module.add_module(parent, nn.Module())
            module = module.get_submodule(parent)
        module.add_module(name, parts[role])
    return places


def assemble_one_stage(builder: PartsBuilder) -> OneStageDetector:
    """Target of the architecture."""
    backbone, neck = builder.build_pyramid()
    head = builder.build(
        "dense_head",
        neck.out_features,
        num_classes=len(builder.classes),
        image_size=builder.input.size,
    )
    make = getattr(head, "make_auxiliary", None)
    return OneStageDetector(
        backbone=backbone,
        neck=neck,
        dense_head=head,
        classes=builder.classes,
        given=builder.input,
        auxiliary=None if make is None else make(backbone.out_features, neck),
    )
