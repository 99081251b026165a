"""Manifest + registry + choices -> plan. Pure: nothing is trained, written or downloaded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from harness.errors import UserError
from harness.manifest.reader import KeyPath, Place, inside
from harness.manifest.schema import (
    PRECISIONS,
    SUITES_RECIPE,
    DetectorSpec,
    Suite,
    Train,
    Use,
    renamed,
)
from harness.manifest.suite import Manifest
from harness.manifest.validation import check_params
from harness.plan.architectures import check_whole, choose_architecture
from harness.plan.cells import (
    STAGES,
    USUAL_PRECISION,
    MeterPart,
    Part,
    Plan,
    TrainingParts,
    split_mode,
)
from harness.plan.consistency import (
    NO_DETECTOR,
    check_meters,
    check_name,
    check_names,
    check_validation,
)
from harness.plan.fingerprints import list_cells
from harness.plan.recipes import Parts, apply_recipes, find_recipe
from harness.plugin.declarations import Recipe
from harness.plugin.registry import Registry


def make_plan(
    manifest: Manifest,
    registry: Registry,
    *,
    only: Sequence[str] = (),
    stages: Sequence[str] = (),
    seeds: Sequence[int] = (),
    modes: Sequence[str] = (),
    precisions: Sequence[str] = (),
    data_root: str | None = None,
    classes: Sequence[str] | None = None,
) -> Plan:
    """Resolve every name and parameter and list the cells.

    Args:
        only: names of detectors; all when empty.
        stages: stages; the manifest's when empty.
        seeds: the manifest's when empty.
        modes, precisions: of the stage `latency`, or "all"; the manifest's when empty.
        data_root: a folder of a data set in place of the manifest's data.
        classes: class names in place of the data's (no data is touched then).

    Raises:
        UserError: anything that can be wrong without a GPU.
    """
    suite = _choose(manifest.suite, only, stages, seeds, data_root)
    chosen = {
        "modes": _choose_names(modes, registry.names("mode"), "modes"),
        "precisions": _choose_names(precisions, PRECISIONS, "precisions"),
    }
    latency = suite.latency.model_copy(
        update={key: names for key, names in chosen.items() if names}
    )
    suite = suite.model_copy(update={"latency": latency})
    suite, parts, meters = _parts(suite, registry, manifest.place)
    check_names(manifest, suite, meters)
    use = Use(use=suite.executor.use, params=suite.executor.params)
    executor = _part(registry, "executor", use, ("executor",), _without_params(manifest.place))
    plan = _complete(suite, registry, manifest.place, parts, meters, classes)
    return replace(plan, executor=executor)


def plan_suite(suite: Suite, registry: Registry, place: Place) -> Plan:
    """The plan of a suite that was chosen from before; `place` says where a value stands.

    Raises:
        UserError: anything that can be wrong without a GPU.
    """
    suite, parts, meters = _parts(suite, registry, place)
    return _complete(suite, registry, place, parts, meters)


def _parts(
    suite: Suite, registry: Registry, place: Place
) -> tuple[Suite, Parts, tuple[MeterPart, ...]]:
    """The suite with its recipes applied, the parts of its detectors, its meters."""

    def parts_of(suite: Suite) -> Parts:
        return {
            name: detector_parts(registry, detector, inside(place, "detectors", name))
            for name, detector in suite.detectors.items()
        }

    parts = parts_of(suite)
    cooked = apply_recipes(suite, registry, parts, place)
    if cooked is not suite:
        suite, parts = cooked, parts_of(cooked)
    used = _listed(registry, "meter", suite.meters, "meters", place)
    meters = tuple(MeterPart(**vars(part)) for part in used)
    check_meters(meters, place)
    check_validation(suite, meters, place)
    return suite, parts, meters


def _complete(
    suite: Suite,
    registry: Registry,
    place: Place,
    parts: Parts,
    meters: tuple[MeterPart, ...],
    classes: Sequence[str] | None = None,
) -> Plan:
    modes = _modes(suite, registry, place)
    dataset = _part(registry, "dataset", suite.data, ("data",), place)
    plan = Plan(
        suite, dataset.make(), tuple(classes or ()), parts, meters,
        training={
            name: _training(registry, detector, inside(place, "detectors", name))
            for name, detector in suite.detectors.items()
        },
        modes=modes,
    )  # fmt: skip
    if classes is not None:
        return plan
    trackers = _trackers(suite, registry, place)
    plan = replace(plan, trackers=trackers, data_fingerprint=plan.source.fingerprint())
    cells = list_cells(plan, place)
    return replace(plan, classes=plan.source.classes(), cells=cells)


def _choose(
    suite: Suite,
    only: Sequence[str],
    stages: Sequence[str],
    seeds: Sequence[int],
    data_root: str | None,
) -> Suite:
    changes: dict[str, Any] = {}
    if only:
        for name in only:
            check_name(name, suite.detectors, NO_DETECTOR, "--only")
        changes["detectors"] = {n: d for n, d in suite.detectors.items() if n in only}
    for stage in stages:
        check_name(stage, STAGES, "there is no stage '{}'", "--stages")
    wanted = stages or suite.stages
    changes["stages"] = tuple(s for s in STAGES if s in wanted)
    changes["seeds"] = tuple(dict.fromkeys(seeds or suite.seeds))
    if data_root is not None:
        changes["data"] = Use(use="coco", params={"root": data_root})
    return suite.model_copy(update=changes)


def _choose_names(
    chosen: Sequence[str], known: Sequence[str], key: str
) -> tuple[str, ...] | Literal["all"]:
    where = f"--{key}"
    for name in chosen:
        message = f"there is no {key[:-1]} '{{}}'"
        check_name(name, (*known, "all"), message, where, hint=renamed(name))
    if "all" not in chosen:
        return tuple(dict.fromkeys(chosen))
    if len(set(chosen)) > 1:
        raise UserError("'all' stands alone", where=where, hint=f"{where} all")
    return "all"


def _modes(suite: Suite, registry: Registry, place: Place) -> dict[str, Part]:
    """The modes of the suite; what a device lacks is not known here.

    Raises:
        UserError: nobody declares one, or its name is that of a mode with a precision.
    """
    known, where = registry.names("mode"), place(("latency", "modes"))
    chosen = known if suite.latency.modes == "all" else suite.latency.modes
    for name in chosen:
        check_name(name, known, "there is no mode '{}'", where, hint=renamed(name))
        if split_mode(name) != (name, USUAL_PRECISION):
            provider = registry.get("mode", name).provider
            raise UserError(f"the name of the mode '{name}' of {provider} ends like a precision")
    return {name: Part("mode", registry.get("mode", name), {}) for name in chosen}


def detector_parts(registry: Registry, detector: DetectorSpec, place: Place) -> dict[str, Part]:
    """Role -> part of one detector; `place(path)` says where a value stands, for errors.

    A file of detections has none.

    Raises:
        UserError: an unknown part, parameters that it refuses, or a slot that is missing.
    """
    if detector.detections is not None:
        return {}
    if detector.detector is not None:
        uses = {"detector": detector.detector, **detector.parts}
    else:
        uses = {"architecture": choose_architecture(registry, detector, place), **detector.parts}
    parts = {role: _part(registry, role, use, (role,), place) for role, use in uses.items()}
    if detector.detector is not None:
        check_whole(parts["detector"], detector, place)
    return parts


def _training(registry: Registry, detector: DetectorSpec, place: Place) -> TrainingParts:
    parts = training_parts(registry, detector.train, inside(place, "train"))
    return replace(parts, recipe=find_recipe(detector, registry, place(("recipe",))))


def training_parts(registry: Registry, train: Train, place: Place) -> TrainingParts:
    """What a `train` names; `place(path)` says where a value of it stands, for errors.

    Raises:
        UserError: an unknown name, or parameters that are refused.
    """
    named = _of_named(place)
    return TrainingParts(
        _part(registry, "optimizer", train.optimizer.use, ("optimizer",), named),
        _part(registry, "schedule", train.schedule.use, ("schedule",), named),
        _listed(registry, "augmentation", train.augment, "augment", place),
    )


def _part(registry: Registry, kind: str, use: Use, path: KeyPath, place: Place) -> Part:
    entry = registry.get(kind, use.use, where=place((*path, "use")))
    params = check_params(entry.declaration, use.params, inside(place, *path, "params"))
    return Part(kind, entry, params)


def _listed(
    registry: Registry, kind: str, uses: Iterable[Use], key: str, place: Place
) -> tuple[Part, ...]:
    """Of a list in the manifest."""
    return tuple(_part(registry, kind, use, (key, i), place) for i, use in enumerate(uses))


def _trackers(suite: Suite, registry: Registry, place: Place) -> tuple[Part, ...]:
    names = [use.use for use in suite.trackers]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise UserError(f"the tracker '{name}' is named twice", where=place(("trackers", i)))
    return _listed(registry, "tracker", suite.trackers, "trackers", place)


def _without_params(place: Place) -> Place:
    """Of an executor, whose params are keys next to its name."""
    return lambda path: place(tuple(key for key in path if key != "params"))


def _of_named(place: Place) -> Place:
    """Of a part whose params are keys next to its `name`."""
    without = _without_params(place)
    return lambda path: without(tuple("name" if key == "use" else key for key in path))


def resolved(plan: Plan) -> dict[str, Any]:
    """The plan as plain data: what `harness plan` prints and a run folder keeps."""
    return {
        "suite": plan.suite.suite,
        "profile": plan.suite.profile,
        "fingerprint": plan.fingerprint,
        "data": {"use": plan.suite.data.use, **plan.suite.data.params},
        "data_name": plan.source.name,
        "data_fingerprint": plan.data_fingerprint,
        "classes": list(plan.classes),
        "detectors": {
            name: _resolved_detector(detector, plan.parts[name], plan.training[name])
            for name, detector in plan.suite.detectors.items()
        },
        "meters": [meter.identity() for meter in plan.meters],
        "evaluate": plan.suite.evaluate.model_dump(),
        "latency": plan.suite.latency.model_dump(),
        "columns": plan.columns,
        "published": [claim.model_dump() for claim in plan.suite.published],
        "report": plan.suite.report.model_dump(),
        "gates": [gate.model_dump() for gate in plan.suite.gates],
        "cells": [vars(cell) for cell in plan.cells],
    }


def _resolved_detector(
    detector: DetectorSpec, parts: Mapping[str, Part], training: TrainingParts
) -> dict[str, Any]:
    if detector.detections is not None:
        return {"detections": detector.detections, "parts": {}}
    return {
        "input": detector.input.model_dump(),
        "checkpoint": detector.checkpoint,
        "backbone_checkpoint": detector.backbone_checkpoint,
        "recipe": _told(training.recipe),
        "train": {**detector.train.model_dump(), **training.identity()},
        "parts": {role: part.identity() for role, part in parts.items()},
    }


def _told(recipe: Recipe | None) -> dict[str, Any]:
    """Name and source; the suite's has none."""
    if recipe is None:
        return {"use": SUITES_RECIPE, "source": ""}
    return {"use": recipe.name, "source": recipe.source}
