"""The checks that an author of a plugin calls, one for each kind of part."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.conformance.examination import Verdict, examine
from harness.conformance.map_trials import BackboneTrial, NeckTrial
from harness.conformance.nonconforming import tell
from harness.conformance.trial import SIZES, Size, Trial
from harness.errors import UserError
from harness.model.features import FeatureSpec
from harness.plugin.declarations import Backbone, Declaration, Neck

Params = Mapping[str, Any]
Features = Sequence[FeatureSpec]


def pyramid(*channels: int, finest: int = 8) -> tuple[FeatureSpec, ...]:
    """Maps of so many channels, each twice as coarse as the one before."""
    strides = [finest << level for level in range(len(channels))]
    return tuple(
        FeatureSpec(f"c{s.bit_length() - 1}", c, s) for s, c in zip(strides, channels, strict=True)
    )


# What a part is tried out on where nobody says; the first that it does not refuse. 245 is the width
# of TinyFPN, under which parts of two stages are put.
PYRAMIDS = (
    pyramid(16, 24, 32),
    pyramid(32, 32, 32),
    pyramid(32, 32, 32, 32),
    pyramid(245, 245, 245),
)


def check_backbone(
    backbone: Backbone, params: Params | None = None, *, sizes: Sequence[Size] = SIZES
) -> Verdict:
    """Raise NonconformingError unless a backbone keeps its contract.

    Args:
        backbone: its declaration.
        params: as in a manifest; what is left out has its default.
        sizes: (height, width) of images to try.

    Raises:
        NonconformingError: with all that is wrong.
        UserError: the parameters are not the declaration's.
    """
    return _passed(_try_backbone(backbone, complete(backbone, params), sizes))


def check_neck(
    neck: Neck,
    params: Params | None = None,
    *,
    in_features: Features | None = None,
    sizes: Sequence[Size] = SIZES,
) -> Verdict:
    """`check_backbone` for a neck.

    Args:
        in_features: the maps that it is given; by default the first of `PYRAMIDS` that it takes.
    """
    return _passed(_try_neck(neck, complete(neck, params), sizes, in_features))


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
    trial = TRIALS.get(type(declaration))
    if trial is None:
        return Verdict(what, unchecked="its target loads; there is no more to check of its kind")
    if needed:
        return Verdict(what, unchecked=f"has no default for {', '.join(needed)}: give it by --set")
    return examine(trial(declaration, complete(declaration, params)))


def complete(declaration: Declaration, params: Params | None) -> Params:
    """Parameters with their defaults.

    Raises:
        UserError: one is missing, unknown or of another type.
    """
    from pydantic import ValidationError

    try:
        return declaration.params(**(params or {})).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{declaration.kind} '{declaration.name}' and its params: {name}: {first['msg']}"
        ) from error


def _try_backbone(declaration: Declaration, params: Params, sizes: Sequence[Size] = SIZES) -> Trial:
    return BackboneTrial(declaration, params, sizes)


def _try_neck(
    declaration: Declaration,
    params: Params,
    sizes: Sequence[Size] = SIZES,
    features: Features | None = None,
) -> Trial:
    return NeckTrial(declaration, params, sizes, features or _accepted(declaration, params))


TRIALS: Mapping[type[Declaration], Callable[[Any, Params], Trial]] = {
    Backbone: _try_backbone,
    Neck: _try_neck,
}


def _accepted(declaration: Declaration, params: Params, **context: Any) -> Features:
    """The first pyramid that a part does not refuse; the first of all where it refuses each."""
    factory = declaration.load()
    for features in PYRAMIDS:
        try:
            factory(features, **context, **params)
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
