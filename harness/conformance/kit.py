"""The checks that an author of a plugin calls, one for each kind of part."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

import torch
from pydantic import ValidationError

from harness.conformance.augmentation_check import examine_augmentation
from harness.conformance.examination import Verdict, examine
from harness.conformance.head_trials import (
    CLASSES,
    POOLED,
    BoxHeadTrial,
    DetectorTrial,
    RoiOpTrial,
    RpnTrial,
)
from harness.conformance.map_trials import BackboneTrial, NeckTrial
from harness.conformance.nonconforming import tell
from harness.conformance.plain_parts import BACKBONE, NECK, as_part
from harness.conformance.trial import SIZES, Size, Trial, make
from harness.errors import UserError
from harness.manifest.schema import Input
from harness.model.assemble import PartsBuilder
from harness.model.detector import Detector
from harness.model.features import FeatureSpec, RoiSpec
from harness.model.one_stage import assemble_one_stage
from harness.plan.cells import Part
from harness.plugin.declarations import (
    Architecture,
    Augmentation,
    Backbone,
    BoxHead,
    Declaration,
    DenseHead,
    Neck,
    RoiOp,
    Rpn,
    WholeDetector,
)

Params = Mapping[str, Any]
Features = Sequence[FeatureSpec]
NAMES = tuple(f"class {i}" for i in range(CLASSES))


def pyramid(*channels: int, finest: int = 8) -> tuple[FeatureSpec, ...]:
    """Maps of so many channels, each twice as coarse as the one before."""
    strides = [finest << level for level in range(len(channels))]
    return tuple(
        FeatureSpec(f"c{s.bit_length() - 1}", c, s) for s, c in zip(strides, channels, strict=True)
    )


# What a part is tried out on where nobody says: the first that it does not refuse. 245 is the width
# of TinyFPN, under which parts of two stages are put, and of ThunderNet's one map.
PYRAMIDS = (
    pyramid(16, 24, 32),
    pyramid(32, 32, 32),
    pyramid(32, 32, 32, 32),
    pyramid(245, 245, 245),
    pyramid(245, finest=16),
)


def check_backbone(
    backbone: Backbone, params: Params | None = None, *, sizes: Sequence[Size] = SIZES
) -> Verdict:
    """Raise NonconformingError unless a backbone keeps its contract.

    Args:
        backbone: its declaration.
        params: as in a manifest; what is left out has its default.
        sizes: (height, width) of images to try; the last one serves for all but shapes.

    Raises:
        NonconformingError: with all that is wrong.
        UserError: the parameters are not the declaration's.
    """
    return _check(backbone, params, sizes=sizes)


class OnMaps(TypedDict, total=False):
    """How a part is tried out that is given feature maps.

    Attributes:
        in_features: the maps; by default the first of `PYRAMIDS` that the part takes.
        sizes: as in `check_backbone`.
    """

    in_features: Features | None
    sizes: Sequence[Size]


def check_neck(neck: Neck, params: Params | None = None, **given: Unpack[OnMaps]) -> Verdict:
    """`check_backbone` for a neck."""
    return _check(neck, params, **given)


def check_rpn(rpn: Rpn, params: Params | None = None, **given: Unpack[OnMaps]) -> Verdict:
    """`check_neck` for a region proposal network: outputs, proposals and losses."""
    return _check(rpn, params, **given)


def check_roi_op(roi_op: RoiOp, params: Params | None = None, **given: Unpack[OnMaps]) -> Verdict:
    """`check_neck` for a RoI op: what is pooled, and the gradient of the maps."""
    return _check(roi_op, params, **given)


def check_dense_head(
    dense_head: DenseHead, params: Params | None = None, **given: Unpack[OnMaps]
) -> Verdict:
    """`check_neck` for a dense head, in a detector of which the other parts are convolutions."""
    return _check(dense_head, params, **given)


def check_box_head(
    box_head: BoxHead,
    params: Params | None = None,
    *,
    in_feature: RoiSpec = POOLED,
    sizes: Sequence[Size] = SIZES,
) -> Verdict:
    """`check_backbone` for a box head: scores, detections and losses.

    Args:
        in_feature: what the RoI op pools for a proposal.
    """
    return _check(box_head, params, sizes=sizes, in_feature=in_feature)


def check_architecture(
    architecture: Architecture,
    parts: Mapping[str, tuple[Declaration, Params]],
    params: Params | None = None,
    *,
    sizes: Sequence[Size] = SIZES,
) -> Verdict:
    """`check_backbone` for an architecture: the detector that it assembles.

    Args:
        parts: slot -> declaration and parameters of the part that fills it.
    """
    filled = {slot: as_part(d, complete(d, p)) for slot, (d, p) in parts.items()}
    missing = [slot for slot in architecture.slots if slot not in filled]
    if missing:
        raise UserError(f"architecture '{architecture.name}' is missing {', '.join(missing)}")
    checked = complete(architecture, params)

    def build(size: Size) -> Detector:
        made: Detector = make(architecture, checked, _builder(filled, size))
        return made

    return _passed(DetectorTrial(architecture, checked, sizes, builder=build))


def check_detector(detector: WholeDetector, params: Params | None = None) -> Verdict:
    """`check_backbone` for a whole detector, at the input size that it has by itself."""
    return _check(detector, params)


def check_augmentation(augmentation: Augmentation, params: Params | None = None) -> Verdict:
    """Check an augmentation with several seeds: pixels, boxes, the same sample for the same seed.

    Raises:
        NonconformingError: something is wrong.
    """
    verdict = examine_augmentation(augmentation, complete(augmentation, params))
    verdict.require()
    return verdict


def check_entry(declaration: Declaration, params: Params | None = None) -> Verdict:
    """Check anything that a plugin offers; what has no check of its own must at least load.

    Raises:
        UserError: the parameters that are given are not the declaration's.
    """
    what = f"{declaration.kind} '{declaration.name}'"
    needed = [
        name
        for name, field in declaration.params.model_fields.items()
        if field.is_required() and name not in (params or {})
    ]
    try:
        factory = declaration.load()
    except Exception as error:  # a stranger's module
        return Verdict(what, (f"{declaration.target} cannot be imported: {tell(error)}",))
    if not callable(factory):
        return Verdict(what, (f"{declaration.target} is not callable",))
    if isinstance(declaration, Architecture):
        return Verdict(what, unchecked="say which parts it takes: check_architecture in a test")
    trial = TRIALS.get(type(declaration))
    if trial is None and not isinstance(declaration, Augmentation):
        return Verdict(what, unchecked="its target loads; there is no more to check of its kind")
    if needed:
        return Verdict(what, unchecked=f"has no default for {', '.join(needed)}: give it by --set")
    checked = complete(declaration, params)
    if isinstance(declaration, Augmentation):
        return examine_augmentation(declaration, checked)
    assert trial is not None
    try:
        return examine(trial(declaration, checked))
    except Exception as error:  # it cannot be built at all
        return Verdict(what, (f"cannot be built: {tell(error)}",))


def complete(declaration: Declaration, params: Params | None) -> Params:
    """Parameters with their defaults.

    Raises:
        UserError: one is missing, unknown or of another type.
    """
    try:
        read = declaration.params(**(params or {}))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{declaration.kind} '{declaration.name}' and its params: {name}: {first['msg']}"
        ) from error
    return {name: getattr(read, name) for name in type(read).model_fields}


def _check(declaration: Declaration, params: Params | None, **given: Any) -> Verdict:
    trial = TRIALS[type(declaration)]
    return _passed(trial(declaration, complete(declaration, params), **given))


def _try_on_maps(
    declaration: Declaration,
    params: Params,
    in_features: Features | None = None,
    sizes: Sequence[Size] = SIZES,
) -> Trial:
    more = {"image_size": sizes[0]} if isinstance(declaration, Rpn) else {}
    features = in_features or _accepted(lambda given: make(declaration, params, given, **more))
    return ON_MAPS[type(declaration)](declaration, params, sizes, features)


def _try_dense_head(
    declaration: Declaration,
    params: Params,
    in_features: Features | None = None,
    sizes: Sequence[Size] = SIZES,
) -> Trial:
    def build_on(given: Features, size: Size) -> Detector:
        plain = {"features": tuple(given)}
        parts = {
            "backbone": as_part(BACKBONE, plain),
            "neck": as_part(NECK, plain),
            "dense_head": as_part(declaration, params),
        }
        return assemble_one_stage(_builder(parts, size))

    chosen = in_features or _accepted(lambda given: build_on(given, sizes[0]))
    return DetectorTrial(declaration, params, sizes, builder=lambda size: build_on(chosen, size))


def _try_detector(declaration: Declaration, params: Params) -> Trial:
    assert isinstance(declaration, WholeDetector)
    extras = dict.fromkeys(declaration.takes)

    def build(size: Size | None = None) -> Detector:
        made: Detector = make(declaration, params, num_classes=CLASSES, **extras)
        made.classes = NAMES
        return made

    grey = torch.full((3, 320, 320), 127, dtype=torch.uint8)
    height, width = build().preprocess([grey]).pixels.shape[2:]
    return DetectorTrial(declaration, params, [(height, width)], builder=build, shows_outputs=False)


def _builder(parts: Mapping[str, Part], size: Size) -> PartsBuilder:
    return PartsBuilder(parts, NAMES, Input(size=size))


ON_MAPS: Mapping[type[Declaration], Callable[..., Trial]] = {
    Neck: NeckTrial,
    Rpn: RpnTrial,
    RoiOp: RoiOpTrial,
}
TRIALS: Mapping[type[Declaration], Callable[..., Trial]] = {
    Backbone: BackboneTrial,
    **dict.fromkeys(ON_MAPS, _try_on_maps),
    BoxHead: BoxHeadTrial,
    DenseHead: _try_dense_head,
    WholeDetector: _try_detector,
}


def _accepted(build: Callable[[Features], Any]) -> Features:
    """The first pyramid that a part does not refuse; the first of all where it refuses each."""
    for features in PYRAMIDS:
        try:
            build(features)
        except UserError:
            continue
        except Exception:  # it is the examination's to say so
            break
        return features
    return PYRAMIDS[0]


def _passed(trial: Trial) -> Verdict:
    verdict = examine(trial)
    verdict.require()
    return verdict
