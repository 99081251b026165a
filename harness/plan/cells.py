"""What a run will do: cells of (detector, seed, stage, mode), each with its fingerprint."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from harness.data.source import DataSource
from harness.manifest.schema import PRECISIONS, Suite
from harness.plugin.catalog import Catalog
from harness.plugin.declarations import Declaration, Meter, Mode, Recipe, Stage
from harness.plugin.metrics import MetricSpec
from harness.plugin.registry import Entry

STAGES: tuple[Stage, ...] = ("train", "evaluate", "cost", "latency")
USUAL_MODE, USUAL_PRECISION = "eager", "float32"
FILE_SEED = 0  # of a file of detections, whose own seed is not known


@dataclass(frozen=True)
class Part:
    """A declaration with its parameters, checked and complete."""

    role: str
    entry: Entry
    params: Mapping[str, Any]

    @property
    def declaration(self) -> Declaration:
        return self.entry.declaration

    def make(self, *inputs: Any, **context: Any) -> Any:
        """What its target makes with its parameters."""
        return self.declaration.load()(*inputs, **context, **self.params)

    def identity(self) -> dict[str, Any]:
        """What of this part determines a number."""
        provider = self.entry.provider
        return {
            "use": self.declaration.name,
            "params": dict(self.params),
            "plugin": [provider.name, provider.version],
        }


@dataclass(frozen=True)
class TrainingParts:
    """What a training is made of, checked and complete.

    Attributes:
        recipe: where they come from; None: the suite's own `train`.
    """

    optimizer: Part
    schedule: Part
    augment: tuple[Part, ...]
    recipe: Recipe | None = None

    def identity(self) -> dict[str, Any]:
        """What of them determines a number."""
        return {
            "optimizer": self.optimizer.identity(),
            "schedule": self.schedule.identity(),
            "augment": [part.identity() for part in self.augment],
        }


@dataclass(frozen=True)
class MeterPart(Part):
    """A meter of the suite."""

    @property
    def meter(self) -> Meter:
        assert isinstance(self.declaration, Meter)
        return self.declaration

    @property
    def stage(self) -> Stage:
        return self.meter.stage

    @property
    def specs(self) -> tuple[MetricSpec, ...]:
        """What it writes with its parameters."""
        return self.meter.specs(self.meter.params.model_validate(dict(self.params)))


@dataclass(frozen=True)
class Cell:
    """One stage of one detector under one seed; of the stage `latency`, in one mode.

    Attributes:
        fingerprint: hash of everything that determines the numbers of this cell.
        mode: with its precision, see `name_mode`; "" for the other stages.
    """

    detector: str
    seed: int
    stage: Stage
    fingerprint: str
    mode: str = ""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """As the plan of a run folder has it."""
        return cls(**{field.name: plain[field.name] for field in fields(cls)})

    def __str__(self) -> str:
        return f"{self.detector} seed {self.seed} {name_stage(self.stage, self.mode)}"

    @property
    def name(self) -> str:
        """ "tinydet_s/seed0/latency/compiled": how a command line and a plan name it."""
        return "/".join(filter(None, (self.detector, f"seed{self.seed}", self.stage, self.mode)))

    @property
    def place(self) -> tuple[str, int, str, str]:
        """Detector, seed, stage and mode."""
        return self.detector, self.seed, self.stage, self.mode


def name_mode(mode: str, precision: str) -> str:
    """The pair as one word: "fused" in float32, else "fused-float16" and so on.

    Args:
        mode: of a declaration.
        precision: a name of `harness.manifest.schema.PRECISIONS`.
    """
    return mode if precision == USUAL_PRECISION else f"{mode}-{precision}"


def split_mode(name: str) -> tuple[str, str]:
    """The inverse of `name_mode`."""
    mode, _, precision = name.rpartition("-")
    return (mode, precision) if precision in PRECISIONS else (name, USUAL_PRECISION)


def is_quantized(modes: Mapping[str, Part], name: str) -> bool:
    """Whether a mode, named with its precision, is one of fewer bits."""
    declared = modes[split_mode(name)[0]].declaration
    return isinstance(declared, Mode) and declared.quantized


def name_stage(stage: str, mode: str) -> str:
    """A stage for people, with its mode where that is not the usual one."""
    return stage if mode in ("", USUAL_MODE) else f"{stage} {mode}"


@dataclass(frozen=True)
class Plan:
    """Everything that a run needs to know, and nothing that needs torch.

    Attributes:
        parts: detector name -> role -> part; a whole detector has the one role "detector".
        data_fingerprint: of the data, "" when a plan was made without.
        modes: of the stage `latency`, by name; without precisions.
        trackers: who receives its curves and numbers, without changing them.
        executor: where its cells run; None in a plan that was made for a single cell.
        training: detector name -> what trains it.
    """

    suite: Suite
    source: DataSource
    classes: tuple[str, ...]
    parts: Mapping[str, Mapping[str, Part]]
    meters: tuple[MeterPart, ...]
    cells: tuple[Cell, ...] = ()
    data_fingerprint: str = ""
    trackers: tuple[Part, ...] = ()
    executor: Part | None = None
    training: Mapping[str, TrainingParts] = field(default_factory=dict)
    modes: Mapping[str, Part] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Of all cells."""
        return digest([cell.fingerprint for cell in self.cells])

    def meters_of(self, stage: Stage) -> list[MeterPart]:
        return [m for m in self.meters if m.stage == stage]

    @property
    def score_meters(self) -> list[MeterPart]:
        """Those that write the main score, by which modes are checked."""
        score = self.catalog.main_score
        return [m for m in self.meters if score in m.specs]

    @property
    def columns(self) -> list[str]:
        """Metrics of the printed table: the suite's, else all by which detectors are ranked."""
        ranked = [spec.name for spec in self.catalog.specs.values() if spec.role]
        return list(self.suite.columns) or ranked

    @property
    def catalog(self) -> Catalog:
        """What its meters write, area ranges of the manifest included."""
        return catalog_of(self.meters, self.suite.report.area_ranges)


def catalog_of(meters: Sequence[MeterPart], ranges: Iterable[str] = ()) -> Catalog:
    """What these meters write, also in area ranges of a manifest."""
    messages = {code: text for m in meters for code, text in m.meter.messages.items()}
    specs = [spec for m in meters for spec in m.specs]
    return Catalog.of(specs, messages).with_ranges(ranges)


def digest(value: Any) -> str:
    """Hash of a JSON-able value, the same in every process."""
    return _hash(encode(value))


def digest_encoded(items: Mapping[str, str]) -> str:
    """`digest` of a mapping from `encode_items`: of many that are alike, only what differs is."""
    return _hash("{" + ",".join(items[key] for key in sorted(items)) + "}")


def encode_items(values: Mapping[str, Any]) -> dict[str, str]:
    """Each key and its item as `encode` writes it in a mapping."""
    return {key: f"{encode(key)}:{encode(value)}" for key, value in values.items()}


def encode(value: Any) -> str:
    """JSON, the same text in every process."""
    return json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
