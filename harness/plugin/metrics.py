"""Every fact about a metric, declared once by the meter or stage that measures it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self, get_args

Kind = Literal["score", "time", "rate", "count", "size", "amount"]
Better = Literal["higher", "lower", ""]
Interval = Literal["bootstrap", "samples", "exact", ""]
Role = Literal["score", "cost", ""]
Level = Literal["remark", "doubtful", "invalid"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
NAMING = "a name is lower-case letters, digits and underscores"
NAMES = ("protocol", "settings", "checks", "short", "claims")  # given as tuples of strings
TARGET = re.compile(r"[^:\s]+:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Finding:
    """Something to know of a number, as a code with parameters; `Meter.messages` words it.

    Attributes:
        level: "invalid": the number says nothing about the detector; "doubtful": it may be off by
            more than its interval tells; "remark": worth knowing, casts no doubt.
    """

    code: str
    level: Level = "doubtful"
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gravity(self) -> int:
        """0 of a remark, 1 of a doubt, 2 of what makes a number invalid."""
        return get_args(Level).index(self.level)

    def __hash__(self) -> int:
        return hash((self.code, self.level, str(self.params)))

    def __str__(self) -> str:
        told = ", ".join(f"{key}={value}" for key, value in self.params.items())
        return f"{self.code} ({told})" if told else self.code


@dataclass(frozen=True)
class Scoring:
    """One of COCO's figures, so that it can be computed again on resampled images.

    Attributes:
        of: average precision or average recall.
        iou: the one threshold of a precision; None for the mean over 0.50:0.05:0.95.
        area: "all", "small", "medium", "large", or an area range of the manifest.
        limit: detections per image that count.
    """

    of: Literal["precision", "recall"] = "precision"
    iou: float | None = None
    area: str = "all"
    limit: int = 100

    @property
    def threshold(self) -> int | None:
        """Index of `iou` among 0.50, 0.55 ... 0.95."""
        return None if self.iou is None else round(20 * self.iou) - 10

    def __post_init__(self) -> None:
        """Raises ValueError where COCO has no such figure."""
        if self.of not in ("precision", "recall"):
            raise ValueError(f"scoring is of precision or recall, not of {self.of!r}")
        steps = None if self.iou is None else 20 * self.iou
        if steps is not None and (abs(steps - round(steps)) > 1e-6 or not 10 <= steps <= 19):
            raise ValueError(f"an IoU threshold is 0.50, 0.55 ... 0.95, not {self.iou:g}")
        if self.iou is not None and self.of == "recall":
            raise ValueError("COCO's recall is the mean over all IoU thresholds, not at one")
        if self.limit < 1:
            raise ValueError(f"{self.limit} detections per image leave nothing to score")


@dataclass(frozen=True)
class MetricSpec:
    """What a metric is, how it is shown, and when two of its values may be compared.

    Attributes:
        name: as in records, columns and gates.
        title: heading of a column.
        unit: of the recorded value.
        scale: recorded value -> shown value.
        shown_unit: unit of the shown value, where `scale` changes it.
        digits: behind the point of the shown value.
        better: which way is better, "" for neither.
        kind: "score" (0 to 1, of detections against ground truth), "time", "rate", "count"
            (exact by nature), "size" (memory, files), "amount" (anything else).
        protocol: conditions that must agree between any two values that are compared; without
            protocol and settings all that was chosen (`harness.results.protocol`).
        settings: conditions that must agree between values of one detector only: between two
            detectors they are part of what is compared, such as the input size.
        interval: how the 95 % interval is made. "bootstrap": over images, of the figure that
            `scoring` names, or without one of the mean of `samples`, which are then one value
            per image; "samples": of the percentile `percent` of repeated measurements; "exact":
            counted again it is the same; "": none is known.
        scoring: for "bootstrap", see `Scoring`.
        percent: for "samples": which percentile of the samples the value is; None if it is none.
        samples_of: metric whose record carries the samples, where this one's has none.
        caption: conditions under which it holds, in a sentence; `{name}` is a recorded condition,
            and text in brackets is left out if a condition in it is not recorded.
        checks: "module:function" of `(record, samples) -> Iterable[Finding]`.
        role: whether the first screen ranks detectors by it, as a score or as a cost.
        question: what it answers there, such as "Fastest".
        floor: of a score: below it a detector has learned next to nothing, and wins no question.
        short: other names that `--metrics` and gates take.
        ranged: the manifest's area ranges get a metric of their own, `<name>_<range>`.
        comparable: whether two detectors' values mean the same at all.
        of_cell: it is of the cell (how long it took), not of the detector.
        claims: conditions that a published figure must state before it is compared.
        summary: one line for `harness list`.
    """

    name: str
    title: str = ""
    unit: str = ""
    scale: float = 1.0
    shown_unit: str = ""
    digits: int = 2
    better: Better = ""
    kind: Kind = "amount"
    protocol: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    interval: Interval = ""
    scoring: Scoring | None = None
    percent: float | None = None
    samples_of: str = ""
    caption: str = ""
    checks: tuple[str, ...] = ()
    role: Role = ""
    question: str = ""
    floor: float = 0.0
    short: tuple[str, ...] = ()
    ranged: bool = False
    comparable: bool = True
    of_cell: bool = False
    claims: tuple[str, ...] = ()
    summary: str = ""

    def __post_init__(self) -> None:
        """A title and a shown unit, where none is given.

        Raises:
            ValueError: the declaration contradicts itself.
        """
        object.__setattr__(self, "title", self.title or self.name.replace("_", " "))
        object.__setattr__(self, "shown_unit", self.shown_unit or self.unit)
        for problem in self._problems():
            raise ValueError(f"metric '{self.name}': {problem}")

    def _problems(self) -> Iterable[str]:
        if not NAME.fullmatch(self.name):
            yield NAMING
        axes = {"kind": Kind, "better": Better, "interval": Interval, "role": Role}
        for key, known in axes.items():
            if getattr(self, key) not in get_args(known):
                choices = ", ".join(repr(name) for name in get_args(known))
                yield f"{key} is {getattr(self, key)!r}, not one of {choices}"
        for key in NAMES:
            if isinstance(getattr(self, key), str):
                yield f"{key} is a string, not a tuple of strings"
        if self.digits < 0:
            yield f"digits is {self.digits}, not zero or more"
        if self.role and not self.better:
            yield f"a {self.role} needs to say which way is better"
        if self.role == "score" and self.better == "lower":
            yield "a score that is better when lower is a cost"
        if self.floor and self.role != "score":
            yield "only a score has a floor"
        if not self.scale > 0:
            yield f"scale is {self.scale:g}, not positive"
        if self.scoring is not None and self.interval != "bootstrap":
            yield "scoring needs interval='bootstrap'"
        if self.percent is not None and not 0 < self.percent < 100:
            yield f"percent is {self.percent:g}, not between 0 and 100"
        if self.percent is not None and self.interval != "samples":
            yield "percent needs interval='samples'"
        if self.samples_of and self.interval == "exact":
            yield "samples are not exact"
        if self.samples_of == self.name:
            yield "its samples cannot be those of itself"
        if self.ranged and self.scoring is None:
            yield "ranged needs scoring"
        for check in self.checks:
            if not TARGET.fullmatch(check):
                yield f"the check {check!r} is not 'module:function'"

    @property
    def higher_is_better(self) -> bool | None:
        return None if not self.better else self.better == "higher"

    def of_range(self, name: str) -> "MetricSpec":
        """The same of one of the manifest's area ranges."""
        assert self.scoring is not None
        return replace(
            self, name=f"{self.name}_{name}", title=f"{self.title}-{name}", ranged=False, role="",
            question="", floor=0.0, short=(), caption="", scoring=replace(self.scoring, area=name),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain data, without what is as if not given."""
        plain = {f.name: f.default for f in fields(self)}
        return {key: value for key, value in asdict(self).items() if value != plain[key]}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`; keys of newer versions are left out.

        Raises:
            TypeError, ValueError: not a metric.
        """
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in plain.items()
            if key in known
        }
        if isinstance(values.get("scoring"), Mapping):
            values["scoring"] = Scoring(**values["scoring"])
        return cls(**values)
