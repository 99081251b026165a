"""A detector's own recipe in place of the suite's: `recipe:` of a manifest."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError, near_names
from harness.manifest.reader import Place
from harness.manifest.schema import SUITES_RECIPE, DetectorSpec, Suite, Train
from harness.manifest.suite import merge
from harness.manifest.validation import invalid
from harness.plan.cells import Part
from harness.plugin.declarations import Recipe, Trainee
from harness.plugin.registry import Entry, Registry

PUBLISHED = "paper"  # that which the detector's own plugin declares
EITHER = (("steps", "epochs"), ("ema", "ema_decay"))  # of these a training has one
Parts = Mapping[str, Mapping[str, Part]]


def apply_recipes(suite: Suite, registry: Registry, parts: Parts, place: Place) -> Suite:
    """The suite with what the recipes of its detectors say where the manifest does not.

    Raises:
        UserError: an unknown recipe, or none that is a detector's own.
    """
    changed = {
        name: _applied(spec, recipe, parts[name], place(("detectors", name, "recipe")))
        for name, spec in suite.detectors.items()
        if (recipe := find_recipe(spec, registry, place(("detectors", name, "recipe"))))
    }
    if not changed:
        return suite
    return suite.model_copy(update={"detectors": {**suite.detectors, **changed}})


def find_recipe(spec: DetectorSpec, registry: Registry, where: str) -> Recipe | None:
    """What a detector is trained by, None for the suite's own `train`.

    Raises:
        UserError: as `apply_recipes`.
    """
    if spec.recipe == SUITES_RECIPE:
        return None
    if spec.recipe != PUBLISHED:
        return _recipe(registry.get("recipe", spec.recipe, where))
    named = {(kind, use.use) for kind, use in spec.parts.items()}
    if spec.detector is not None:
        named.add(("detector", spec.detector.use))
    every = [_recipe(entry) for entry in registry.entries("recipe")]
    own = [recipe for recipe in every if recipe.of in named]
    if len(own) == 1:
        return own[0]
    raise UserError(
        f"{len(own) or 'no'} published recipes are those of its parts",
        where=where,
        hint=near_names("", [SUITES_RECIPE, *(recipe.name for recipe in every)]),
    )


def _recipe(entry: Entry) -> Recipe:
    assert isinstance(entry.declaration, Recipe)
    return entry.declaration


def _applied(
    spec: DetectorSpec, recipe: Recipe, parts: Mapping[str, Part], where: str
) -> DetectorSpec:
    """The detector with its recipe below what the manifest says of it alone."""
    own = spec.train.model_dump(exclude_unset=True)
    trainee = Trainee(
        parts={role: part.params for role, part in parts.items()},
        image_size=spec.input.size,
        batch_size=own.get("batch_size"),
        batches=spec.train.accumulate * (spec.train.gpus or 1),
    )
    given: dict[str, Any] = dict(recipe.load()(trainee))
    for keys in EITHER:
        if any(own.get(key) is not None for key in keys):
            given = {key: value for key, value in given.items() if key not in keys}
    try:
        train = Train.model_validate(merge(given, own))
    except ValidationError as error:
        raise invalid(error, Train, lambda path: f"{where} ({recipe.name})") from error
    uses = {
        kind: use.model_copy(update={"params": {**recipe.given, **use.params}})
        for kind, use in spec.parts.items()
        if recipe.given and (kind, use.use) == recipe.of
    }
    return spec.model_copy(update={"train": train, **uses})
