"""The manifest's grammar: strict, immutable models. `docs/manifest.md` explains each key."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from harness.errors import UserError
from harness.plugin.declarations import PART_KINDS
from harness.plugin.lengths import Length, Span

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]

# What convolutions and products compute in.
PrecisionName = Literal["float32", "tf32", "bfloat16", "float16"]
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)
OTHER_NAMES = {"fp32": "float32", "no": "float32", "bf16": "bfloat16", "fp16": "float16"}


def renamed(name: str) -> str:
    """How to say what `name` once said, or is called elsewhere; "" where nothing is known of it."""
    mode, dash, precision = name.rpartition("-")
    if precision == "half":
        return f"'{name}' is now mode {mode} with precision float16 (bfloat16 on most CPUs)"
    if dash and precision in PRECISIONS:
        return f"'{name}' is mode {mode} with precision {precision}"
    return f"'{name}' is called {OTHER_NAMES[name]}" if name in OTHER_NAMES else ""


def _check_names(value: Any, kind: str, known: Sequence[str] | None = None) -> Any:
    """A bare name is a list of one. What pydantic itself says of a union is long.

    Args:
        known: the names that there are; None where plugins decide.
    """
    if value == "all":
        return value
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(f"should be 'all' or a list of {kind}")
    if known is None and not all(isinstance(name, str) for name in names):
        raise ValueError(f"should be 'all' or a list of names of {kind}")
    return tuple(names if known is None else (_check_name(n, known, "'all' or ") for n in names))


def _check_name(name: Any, known: Sequence[str], others: str = "") -> Any:
    if name not in known:
        told = renamed(name) if isinstance(name, str) else ""
        raise ValueError(f"{told and f'{told}: '}should be {others}one of {', '.join(known)}")
    return name


Precision = Annotated[PrecisionName, BeforeValidator(partial(_check_name, known=PRECISIONS))]
Modes = Annotated[
    tuple[str, ...] | Literal["all"], BeforeValidator(partial(_check_names, kind="modes"))
]
Precisions = Annotated[
    tuple[PrecisionName, ...] | Literal["all"],
    BeforeValidator(partial(_check_names, known=PRECISIONS, kind="precisions")),
]


SUITES_RECIPE = "same"


class Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _bare_word(key: str) -> Any:
    """Validator of a model: a bare word stands for a mapping that has only this key."""

    def read(value: Any) -> Any:
        return {key: value} if isinstance(value, str) else value

    return model_validator(mode="before")(read)


class Use(Keys):
    """A plugin part chosen by name, with its parameters."""

    use: Name
    params: dict[str, Any] = {}
    _bare = _bare_word("use")


class Input(Keys):
    """How images come to the network: resized to `size`, then (x - mean) / std in 0..255.

    Attributes:
        size: (height, width).
        resize: "squash" stretches to `size`, and "squash_from_corner" does without half-pixel
            centres; "letterbox" keeps the aspect ratio and fills the right or the bottom with
            `fill`.
        fill: grey level of a letterbox.
        channels: their order in the network; `mean` and `std` are those of red, green, blue.
    """

    size: tuple[PositiveInt, PositiveInt] = (320, 320)
    resize: Literal["squash", "squash_from_corner", "letterbox"] = "squash"
    fill: Annotated[int, Field(ge=0, le=255)] = 114
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)

    @model_validator(mode="before")
    @classmethod
    def _square(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("size"), int):
            return {**value, "size": (value["size"], value["size"])}
        return value


class Named(BaseModel):
    """A plugin part chosen by `name`; the other keys are its parameters, which the plan checks."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Name
    _bare = _bare_word("name")

    @property
    def use(self) -> Use:
        return Use(use=self.name, params=dict(self.model_extra or {}))


class OptimizerSpec(Named):
    name: Name = "sgd"


class ScheduleSpec(Named):
    name: Name = "cosine"


class Ema(Keys):
    """An average of the weights whose decay rises: `decay` x (1 - exp(-step / `ramp`))."""

    decay: Fraction = 0.9998
    ramp: PositiveFloat = 2000


def _listed(value: Any) -> Any:
    """A bare name, or one mapping, is a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


Augments = Annotated[tuple[Use, ...], BeforeValidator(_listed), Field(min_length=1)]


def _check_background(value: Any) -> Any:
    """What pydantic itself says of a union is long."""
    if value in ("keep", "drop"):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1:
        return float(value) or "drop"
    raise ValueError("should be keep, drop, or a share from 0 to below 1")


Background = Annotated[Literal["keep", "drop"] | float, BeforeValidator(_check_background)]


class Train(Keys):
    """One of `steps` and `epochs` says how long. `batch_size` is per process.

    `steps: 0` leaves the training out: the detector is evaluated only if it has a `checkpoint`.

    Attributes:
        gpus: processes that share the training, each with a GPU of its own (with `--device cpu`
            with its share of the processors); null: as many as the harness runs in.
        step: how a step runs: launched kernel by kernel ("eager"), recorded as a CUDA graph and
            replayed ("captured"), or compiled by torch, which takes a minute or more at the start
            ("compiled"; on one GPU also captured). "auto" is captured on one GPU, else eager.
        close_augment: how long at the end no image is made of several: steps, a share below 1, or
            "N epochs". The detector is told when this last phase begins.
        background: whether images without objects are trained on ("keep", "drop"), or the largest
            share that they may have; the seed then draws those that are.
        evaluate_every: epochs, or steps where the length is in steps, after which the validation
            split is evaluated; null: never. The training is the same with it and without.
        evaluate_images: of the validation split, at most.
        ema, ema_decay: of an average of the weights; `ema_decay` with timm's warm-up.
    """

    steps: NonNegativeInt | None = None
    epochs: PositiveInt | None = None
    batch_size: PositiveInt = 8
    gpus: PositiveInt | None = None
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    clip_norm: PositiveFloat | None = 35.0
    augment: Augments = (Use(use="paper"),)
    close_augment: Span = 0
    background: Background = "keep"
    ema: Ema | None = None
    ema_decay: Fraction | None = None
    precision: Precision = "float32"
    accumulate: PositiveInt = 1
    sync_bn: bool = True
    step: Literal["auto", "eager", "captured", "compiled"] = "auto"
    workers: NonNegativeInt = 2
    cache_gib: NonNegativeFloat = 4.0
    log_every: PositiveInt = 10
    evaluate_every: PositiveInt | None = None
    evaluate_images: PositiveInt = 500

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, value: Any) -> Any:
        if isinstance(value, dict) and "compile" in value:
            raise ValueError("'compile: true' is now 'step: compiled', and false 'step: eager'")
        return value

    @model_validator(mode="after")
    def _one_length(self) -> "Train":
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give 'steps' or 'epochs', not both")
        if self.ema is not None and self.ema_decay is not None:
            raise ValueError("give 'ema' or 'ema_decay', not both")
        return self

    def length(self, batches: int) -> Length:
        """Of the whole training, `batches` being those of an epoch.

        Raises:
            UserError: nothing says how long.
        """
        epoch = batches / self.accumulate
        if self.steps is not None:
            return Length(self.steps, epoch)
        if self.epochs is None:
            raise UserError("has no length", where="train", hint="give 'steps' or 'epochs'")
        return Length(max(1, self.epochs * batches // self.accumulate), epoch)

    def evaluates_after(self, step: int, batches: int) -> bool:
        """Whether the validation split is evaluated after a step, counted from 1; see `length`."""
        if self.evaluate_every is None:
            return False
        if self.epochs is None:
            return step % self.evaluate_every == 0
        every = self.evaluate_every * batches
        return step * self.accumulate // every > (step - 1) * self.accumulate // every

    def last_phase(self, batches: int) -> int | None:
        """Step with which the time of `close_augment` begins, None without it; see `length`."""
        if not self.close_augment:
            return None
        length = self.length(batches)
        return max(0, length.steps - length.of(self.close_augment))


class Evaluate(Keys):
    batch_size: PositiveInt = 8
    workers: NonNegativeInt = 2
    cache_gib: NonNegativeFloat = 4.0
    max_images: PositiveInt | None = None


class Latency(Keys):
    """Warm-up ends when `warmup_runs` and `warmup_seconds` are reached and times are stationary.

    Attributes:
        modes, precisions: a cell for each pair; "all" stands for those that the device has. The
            first pair is the one that tables show. Plugins declare modes.
        check_images: of the validation split, in which each mode but `eager` must find what
            `eager` finds.
        calibration_images: of the training split, by which a mode of 8 bits chooses its scales.
    """

    modes: Modes = ("eager",)
    precisions: Precisions = ("float32",)
    check_images: PositiveInt = 50
    calibration_images: PositiveInt = 100
    batch_size: PositiveInt = 1
    images: PositiveInt = 16
    runs: PositiveInt = 100
    warmup_runs: PositiveInt = 10
    warmup_seconds: NonNegativeFloat = 1.0
    threads: PositiveInt | None = None


class Report(Keys):
    """How a run is looked at; no measurement depends on it.

    Attributes:
        resamples: of the images, for intervals and p-values.
        area_ranges: name -> [from, to) in square pixels of the original, beside COCO's three.
        size_bins: edges of the curves of AP over object size, in pixels of sqrt(area).
        gallery: images shown.
    """

    resamples: Annotated[int, Field(ge=100)] = 1000
    area_ranges: dict[Name, tuple[NonNegativeFloat, NonNegativeFloat]] = {}
    size_bins: Annotated[tuple[NonNegativeFloat, ...], Field(min_length=2)] = (
        0, 8, 16, 24, 32, 48, 64, 96, 128, 256,
    )  # fmt: skip
    gallery: Annotated[int, Field(ge=0, le=48)] = 12

    @model_validator(mode="after")
    def _ascending(self) -> "Report":
        for name, (low, high) in self.area_ranges.items():
            if name in ("all", "small", "medium", "large"):
                raise ValueError(f"'{name}' is COCO's own range; choose another name")
            if not low < high:
                raise ValueError(f"'{name}' goes from {low:g} to {high:g}, which is empty")
        if any(a >= b for a, b in pairwise(self.size_bins)):
            raise ValueError("the edges of 'size_bins' must ascend")
        return self


class DetectorSpec(Keys):
    """A whole detector (`detector`), the parts of an architecture, or a file of detections.

    Without `architecture` it is the one that is assembled from the parts that are named.
    `recipe`: "same" for the suite's `train`, "paper" for the published one of its own plugin, or
    the name of a recipe; what that leaves open is the suite's.

    Attributes:
        detections: detections of another tool in the validation images, in COCO's result format.
            They are scored, and have neither cost nor latency.
    """

    detector: Use | None = None
    architecture: Use | None = None
    backbone: Use | None = None
    neck: Use | None = None
    rpn: Use | None = None
    roi_op: Use | None = None
    box_head: Use | None = None
    dense_head: Use | None = None
    input: Input = Input()
    checkpoint: str | None = None
    backbone_checkpoint: str | None = None
    recipe: Name = SUITES_RECIPE
    train: Train = Train()
    detections: str | None = None

    @model_validator(mode="after")
    def _whole_or_parts(self) -> "DetectorSpec":
        others = sorted(self.model_fields_set - {"detections"})
        if self.detections is not None and others:
            raise ValueError(f"'detections' takes no other keys, but there is {', '.join(others)}")
        parts = [name for name in self.parts if name != "backbone"]
        if self.detector is not None and self.architecture is not None:
            raise ValueError("'detector' is whole and has no 'architecture'")
        if self.detector is not None and parts:
            raise ValueError(f"'detector' is whole and takes no parts, but has {', '.join(parts)}")
        if self.checkpoint is not None and self.backbone_checkpoint is not None:
            raise ValueError("give 'checkpoint' or 'backbone_checkpoint', not both")
        return self

    @property
    def parts(self) -> dict[str, Use]:
        """The parts that are named, by kind."""
        named = {kind: getattr(self, kind) for kind in PART_KINDS}
        return {kind: use for kind, use in named.items() if use is not None}

    def goes_through(self, stage: str) -> bool:
        """Whether a stage says anything about it."""
        if self.detections is not None:
            return stage == "evaluate"
        if self.train.steps == 0:
            return stage != "train" and (stage != "evaluate" or self.checkpoint is not None)
        return True


class PublishedConditions(Keys):
    """What a published figure holds for; what is left out is not known.

    A verdict rests on these alone. Data count as the same when `annotations_sha256` agrees, or
    `images`, `boxes` and `classes` all do. Costs need `classes`, `input` and, where a detector has
    proposals, `proposals`; latencies need `device`, `precision`, `mode`, `batch_size` and `input`.

    Attributes:
        classes: that the detector tells apart, background not counted.
        annotations_sha256: of the annotation file.
        images: in the split.
        boxes: ground-truth boxes in the split, crowds not counted.
        input: size of the network's input as reports write it: "320x320" (height x width), or
            "shortest side 320, longest at most 640".
        proposals: that the count was made with.
        device, precision, mode, batch_size, threads: of a latency.
    """

    classes: PositiveInt | None = None
    annotations_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    images: PositiveInt | None = None
    boxes: PositiveInt | None = None
    input: str | None = None
    proposals: PositiveInt | None = None
    device: str | None = None
    precision: str | None = None
    mode: str | None = None
    batch_size: PositiveInt | None = None
    threads: PositiveInt | None = None


class Published(Keys):
    """A figure that somebody published; never shown in a measured column.

    Attributes:
        value: in `unit`; AP as 0..1.
        unit: as published.
        split: the data in words, for readers.
        source: where it stands.
        note: what a reader must know of it.
        conditions: what decides whether it compares with a measurement.
        factor: one published unit in the units that the harness measures in (a GFLOP of
            multiply-adds is 1000 MMACs; where two operations make a multiply-add, 500). Only
            where the source says what its unit means.
        decimals: of the published value, where zeros at its end would be lost. AP counts as
            given to 0.001 at least, as papers do.
        tolerance: in `unit`; a measured value this far off still reproduces the figure.
    """

    detector: Name
    metric: Name
    value: FiniteFloat
    unit: str
    split: str
    source: str
    note: str = ""
    conditions: PublishedConditions = PublishedConditions()
    factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    decimals: Annotated[int, Field(ge=0, le=12)] | None = None
    tolerance: NonNegativeFloat = 0.0


class GateSpec(Keys):
    """A limit on how a metric differs from another detector's, or from an earlier run's.

    Attributes:
        detector: whose metric; None for all.
        against: a detector of the suite, or the path of a run folder or table, of which
            PATH:DETECTOR picks one detector.
        at_least, at_most: exactly one of them.
        of: what they limit: "difference" in the metric's shown unit, of AP in points; "ratio" to
            the base; "percent", the difference in percent of the base.
        optional: that it cannot be evaluated is not a failure.
    """

    metric: Name
    detector: Name | None = None
    against: Annotated[str, Field(min_length=1)]
    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None
    of: Literal["difference", "ratio", "percent"] = "difference"
    optional: bool = False

    @model_validator(mode="after")
    def _one_limit(self) -> "GateSpec":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give either 'at_least' or 'at_most'")
        if self.of == "ratio" and self.limit <= 0:
            raise ValueError("a ratio is limited by a positive number")
        if self.detector == self.against:
            raise ValueError(f"compares '{self.detector}' with itself")
        return self

    @property
    def limit(self) -> float:
        found = self.at_least if self.at_most is None else self.at_most
        assert found is not None
        return found


class ExecutorSpec(BaseModel):
    """Where cells run. Keys that are not here are parameters of the executor.

    Attributes:
        use: name of the executor.
        retries: how often a cell is started again whose process was lost. An interruption (a job
            that was preempted or out of time) counts only if the cell got no further by it.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    use: Name = "inline"
    retries: NonNegativeInt = 1
    _bare = _bare_word("use")

    @property
    def params(self) -> dict[str, Any]:
        """Of the executor."""
        return dict(self.model_extra or {})


class Suite(Keys):
    """A manifest with its profile and overrides applied: what a plan is made from."""

    suite: Name
    profile: Name
    data: Use
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0,)
    stages: Annotated[
        tuple[Literal["train", "evaluate", "cost", "latency"], ...], Field(min_length=1)
    ] = ("train", "evaluate", "cost", "latency")
    meters: tuple[Use, ...]
    columns: tuple[Name, ...] = ()
    evaluate: Evaluate = Evaluate()
    latency: Latency = Latency()
    executor: ExecutorSpec = ExecutorSpec()
    trackers: tuple[Use, ...] = ()
    report: Report = Report()
    gates: tuple[GateSpec, ...] = ()
    detectors: dict[Name, DetectorSpec]
    published: tuple[Published, ...] = ()
