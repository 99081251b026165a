"""Manifest + registry + choices -> plan. Pure: nothing is trained, written or downloaded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from harness import __version__
from harness.data.source import DataSource
from harness.errors import UserError, near_names
from harness.files import hash_file
from harness.manifest.reader import KeyPath
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
    USUAL_MODE,
    USUAL_PRECISION,
    Cell,
    MeterPart,
    Part,
    Plan,
    TrainingParts,
    catalog_of,
    digest,
    digest_encoded,
    encode_items,
    is_quantized,
    name_mode,
    split_mode,
)
from harness.plan.recipes import apply_recipes, find_recipe
from harness.plugin.catalog import Catalog
from harness.plugin.declarations import Recipe, Stage
from harness.plugin.registry import Registry

FILE_SEED = 0  # of a file of detections, whose own seed is not known
# of `train`: what determines no number, and what `TrainingParts` has complete
NOT_IN_FINGERPRINT = {
    "workers", "cache_gib", "log_every", "evaluate_every", "evaluate_images",
    "optimizer", "schedule", "augment",
}  # fmt: skip
METERED = ("evaluate", "cost", "latency")  # stages that hand meters their input
NO_DETECTOR = "the suite has no detector '{}'"
NO_METRIC = "no meter of this suite writes the metric '{}'"
NO_BASE = "'{}' is neither a detector of the suite nor a run"
Parts = Mapping[str, Mapping[str, Part]]
Place = Callable[[KeyPath], str]


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
    _check_metrics(manifest, suite, meters)
    _check_gates(manifest, suite, meters)
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
            name: detector_parts(registry, detector, _inside(place, ("detectors", name)))
            for name, detector in suite.detectors.items()
        }

    parts = parts_of(suite)
    cooked = apply_recipes(suite, registry, parts, place)
    if cooked is not suite:
        suite, parts = cooked, parts_of(cooked)
    meters = tuple(
        MeterPart(_part(registry, "meter", use, ("meters", i), place))
        for i, use in enumerate(suite.meters)
    )
    _check_meters(place, meters)
    _check_validation(place, suite, meters)
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
    source = _source(place, registry, suite)
    training = {
        name: _training(registry, detector, _inside(place, ("detectors", name)))
        for name, detector in suite.detectors.items()
    }
    if classes is not None:
        return Plan(suite, source, tuple(classes), parts, meters, (), "", "", training=training)
    trackers = _trackers(suite, registry, place)
    data = source.fingerprint()
    cells = _cells(place, suite, parts, training, meters, modes, data)
    return Plan(
        suite, source, source.classes(), parts, meters, cells, data,
        fingerprint=digest([c.fingerprint for c in cells]),
        trackers=trackers,
        training=training,
        modes=modes,
    )  # fmt: skip


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
            _check_name(name, suite.detectors, NO_DETECTOR, "--only")
        changes["detectors"] = {n: d for n, d in suite.detectors.items() if n in only}
    for stage in stages:
        _check_name(stage, STAGES, "there is no stage '{}'", "--stages")
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
        _check_listed(name, (*known, "all"), key[:-1], where)
    if "all" not in chosen:
        return tuple(dict.fromkeys(chosen))
    if len(set(chosen)) > 1:
        raise UserError("'all' stands alone", where=where, hint=f"{where} all")
    return "all"


def _check_listed(name: str, known: Sequence[str], kind: str, where: str) -> None:
    if name not in known:
        hint = renamed(name) or near_names(name, list(known))
        raise UserError(f"there is no {kind} '{name}'", where=where, hint=hint)


def _modes(suite: Suite, registry: Registry, place: Place) -> dict[str, Part]:
    """The modes of the suite; what a device lacks is not known here.

    Raises:
        UserError: nobody declares one, or its name is that of a mode with a precision.
    """
    known, where = registry.names("mode"), place(("latency", "modes"))
    chosen = known if suite.latency.modes == "all" else suite.latency.modes
    for name in chosen:
        _check_listed(name, known, "mode", where)
        if split_mode(name) != (name, USUAL_PRECISION):
            provider = registry.get("mode", name).provider
            raise UserError(f"the name of the mode '{name}' of {provider} ends like a precision")
    return {name: Part("mode", registry.get("mode", name), {}) for name in chosen}


def _with_precisions(suite: Suite, modes: Iterable[str]) -> list[str]:
    """Each pair once, the one that tables show first."""
    chosen = suite.latency.precisions
    precisions = PRECISIONS if chosen == "all" else chosen
    return list(dict.fromkeys(name_mode(m, p) for m in modes for p in precisions))


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
    parts = training_parts(registry, detector.train, _inside(place, ("train",)))
    return replace(parts, recipe=find_recipe(detector, registry, place(("recipe",))))


def training_parts(registry: Registry, train: Train, place: Place) -> TrainingParts:
    """What a `train` names; `place(path)` says where a value of it stands, for errors.

    Raises:
        UserError: an unknown name, or parameters that are refused.
    """

    def named(kind: str, use: Use) -> Part:
        return _part(registry, kind, use, (kind,), _of_named(place))

    return TrainingParts(
        named("optimizer", train.optimizer.use),
        named("schedule", train.schedule.use),
        tuple(
            _part(registry, "augmentation", use, ("augment", i), place)
            for i, use in enumerate(train.augment)
        ),
    )


def _part(registry: Registry, kind: str, use: Use, path: KeyPath, place: Place) -> Part:
    entry = registry.get(kind, use.use, where=place((*path, "use")))
    params = check_params(
        entry.declaration, use.params, lambda inner: place((*path, "params", *inner))
    )
    return Part(kind, entry, params)


def _trackers(suite: Suite, registry: Registry, place: Place) -> tuple[Part, ...]:
    names = [use.use for use in suite.trackers]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise UserError(f"the tracker '{name}' is named twice", where=place(("trackers", i)))
    return tuple(
        _part(registry, "tracker", use, ("trackers", i), place)
        for i, use in enumerate(suite.trackers)
    )


def _without_params(place: Place) -> Place:
    """Of an executor, whose params are keys next to its name."""
    return lambda path: place(tuple(key for key in path if key != "params"))


def _of_named(place: Place) -> Place:
    """Of a part whose params are keys next to its `name`."""
    without = _without_params(place)
    return lambda path: without(tuple("name" if key == "use" else key for key in path))


def _inside(place: Place, outer: KeyPath) -> Place:
    return lambda path: place((*outer, *path))


def _check_meters(place: Place, meters: Sequence[MeterPart]) -> None:
    """Each is of a stage that asks meters, and each metric has one that writes it."""
    writers: dict[str, MeterPart] = {}
    for i, meter in enumerate(meters):
        where = place(("meters", i))
        if meter.stage not in METERED:
            raise UserError(
                f"{_described(meter)} is of the stage '{meter.stage}', which asks no meters",
                where=where,
                hint=near_names(meter.stage, list(METERED)),
            )
        for metric in (spec.name for spec in meter.specs):
            other = writers.setdefault(metric, meter)
            if other is not meter:
                both = f"{_described(other)} and {_described(meter)}"
                raise UserError(
                    f"the metric '{metric}' is written by two meters: {both}",
                    where=where,
                    hint="leave one of them out",
                )


def _check_validation(place: Place, suite: Suite, meters: Sequence[MeterPart]) -> None:
    """A training that is to be evaluated on the way has a meter that can do it."""
    if any(meter.stage == "evaluate" for meter in meters):
        return
    for name, detector in suite.detectors.items():
        if detector.train.evaluate_every is not None:
            raise UserError(
                "no meter of the suite evaluates",
                where=place(("detectors", name, "train", "evaluate_every")),
                hint="add one to 'meters', or leave this out",
            )


def _described(meter: MeterPart) -> str:
    return f"'{meter.meter.name}' of {meter.part.entry.provider}"


def _check_metrics(manifest: Manifest, suite: Suite, meters: Sequence[MeterPart]) -> None:
    known = _catalog(suite, meters).specs
    for i, column in enumerate(suite.columns):
        _check_name(column, known, NO_METRIC, manifest.place(("columns", i)))
    for i, claim in enumerate(suite.published):
        place = manifest.place(("published", i, "detector"))
        _check_name(claim.detector, manifest.suite.detectors, NO_DETECTOR, place)


def _check_gates(manifest: Manifest, suite: Suite, meters: Sequence[MeterPart]) -> None:
    """Their metrics and detectors are known. What a path leads to is seen when the run ends."""
    catalog, detectors = _catalog(suite, meters), list(manifest.suite.detectors)
    for i, gate in enumerate(suite.gates):
        if catalog.find(gate.metric) is None:
            place = manifest.place(("gates", i, "metric"))
            _check_name(gate.metric, catalog.specs, NO_METRIC, place)
        if gate.detector is not None:
            place = manifest.place(("gates", i, "detector"))
            _check_name(gate.detector, detectors, NO_DETECTOR, place)
        path = Path(gate.against)
        if path.name == gate.against and not path.exists():  # most likely meant as a detector
            place = manifest.place(("gates", i, "against"))
            _check_name(gate.against, detectors, NO_BASE, place)


def _check_name(name: str, known: Iterable[str], message: str, where: str) -> None:
    """Raises UserError with the message, which takes the name, and the nearest known name."""
    known = list(known)
    if name not in known:
        raise UserError(message.format(name), where=where, hint=near_names(name, known))


def _catalog(suite: Suite, meters: Sequence[MeterPart]) -> Catalog:
    return catalog_of(meters).with_ranges(suite.report.area_ranges)


def _source(place: Place, registry: Registry, suite: Suite) -> DataSource:
    part = _part(registry, "dataset", suite.data, ("data",), place)
    source: DataSource = part.declaration.load()(**part.params)
    return source


def _weights(detector: DetectorSpec, place: Place) -> list[str | None]:
    """Hashes of the files that the weights come from.

    Raises:
        UserError: one is not there.
    """
    keys = ("checkpoint", "backbone_checkpoint")
    return [_hash(detector, key, "the path of a weights file", place) for key in keys]


def _hash(detector: DetectorSpec, key: str, hint: str, place: Place) -> str | None:
    path = getattr(detector, key)
    try:
        return None if path is None else hash_file(Path(path))
    except OSError as error:
        found = f"'{path}' cannot be read: {error.strerror}"
        raise UserError(found, where=place((key,)), hint=hint) from error


def _cells(
    place: Place,
    suite: Suite,
    parts: Parts,
    training: Mapping[str, TrainingParts],
    meters: Sequence[MeterPart],
    modes: Mapping[str, Part],
    data: str,
) -> tuple[Cell, ...]:
    measured = [
        (stage, mode, encode_items(_stage_identity(suite, meters, modes, stage, mode)))
        for stage, mode in _stages_and_modes(suite, modes)
    ]
    cells = []
    for name, detector in suite.detectors.items():
        inside = _inside(place, ("detectors", name))
        known = detector_identity(suite, name, parts[name], training[name], data, inside)
        own = encode_items(known)
        for seed in (FILE_SEED,) if detector.detections is not None else suite.seeds:
            seeded = {**own, **encode_items({"seed": seed})}
            for stage, mode, of_stage in measured:
                if not detector.goes_through(stage):
                    continue
                cells.append(Cell(name, seed, stage, digest_encoded({**seeded, **of_stage}), mode))
    return tuple(cells)


def detector_identity(
    suite: Suite,
    name: str,
    parts: Mapping[str, Part],
    training: TrainingParts,
    data: str,
    place: Place = str,
) -> dict[str, Any]:
    """What of a detector determines its numbers, whatever the seed and the stage.

    Raises:
        UserError: a file of weights or detections is not there.
    """
    detector = suite.detectors[name]
    common = {"harness": __version__, "data": data}
    if detector.detections is not None:
        hint = "the path of a file in COCO's result format"
        return {**common, "detections": _hash(detector, "detections", hint, place)}
    return {
        **common,
        "parts": {role: part.identity() for role, part in parts.items()},
        "input": detector.input.model_dump(),
        "weights": _weights(detector, place),
        "train": detector.train.model_dump(exclude=NOT_IN_FINGERPRINT | _unsaid(detector.train)),
        "training": training.identity(),
    }


def _unsaid(train: Train) -> set[str]:
    """Keys whose values say what was so before there were such keys."""
    return {"background"} if train.background == "drop" else set()


def _stages_and_modes(suite: Suite, modes: Iterable[str]) -> list[tuple[Stage, str]]:
    """In the order in which a detector goes through them."""
    return [
        (stage, mode)
        for stage in suite.stages
        for mode in (_with_precisions(suite, modes) if stage == "latency" else ("",))
    ]


def _stage_identity(
    suite: Suite, meters: Sequence[MeterPart], modes: Mapping[str, Part], stage: Stage, mode: str
) -> dict[str, Any]:
    """What of a stage determines its numbers, whatever the detector."""
    checked = mode not in ("", USUAL_MODE)
    score = catalog_of(meters).main_score
    writers = [m for m in meters if score in m.specs]
    check = {
        "mode": modes[split_mode(mode)[0]].identity(),
        "check": [m.part.identity() for m in writers],
    } if checked else {}  # fmt: skip
    return {
        "stage": stage,
        "meters": [m.part.identity() for m in meters if m.stage == stage],
        "protocol": _protocol(suite, modes, stage, mode),
        **check,
    }


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
        "meters": [m.part.identity() for m in plan.meters],
        "evaluate": plan.suite.evaluate.model_dump(),
        "latency": plan.suite.latency.model_dump(),
        "columns": list(plan.suite.columns),
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


def _protocol(
    suite: Suite, modes: Mapping[str, Part], stage: Stage, mode: str
) -> dict[str, Any] | None:
    evaluated = suite.evaluate.model_dump(exclude={"workers", "cache_gib", "batch_size"})
    if stage == "evaluate":
        return evaluated
    if stage != "latency":
        return None
    quantized = is_quantized(modes, mode)
    unused = {"modes", "precisions"}
    unused |= set() if quantized else {"calibration_images"}
    # the usual mode is what others are checked against, and a quantised one has a score of its own
    unused |= {"check_images"} if quantized or mode == USUAL_MODE else set()
    settings = {**suite.latency.model_dump(exclude=unused), "mode": mode}
    return {**settings, "evaluate": evaluated} if quantized else settings
