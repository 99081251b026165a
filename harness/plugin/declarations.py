"""What a plugin says about each thing it offers; small, frozen and free of torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.plugin.metrics import MetricSpec

Stage = Literal["train", "evaluate", "cost", "latency"]


class Params(BaseModel):
    """Base of every params model: strict about unknown keys, immutable once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParams(Params):
    """For a part without anything to choose."""


def load_target(target: str) -> Callable[..., Any]:
    """What "module:attribute" names. ImportError and AttributeError keep their traceback."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Declaration:
    """A thing that a manifest can choose by name.

    Attributes:
        name: the value of `use:` in a manifest.
        target: "module:attribute" of the factory; imported only when it is built.
        params: the pydantic model of the factory's keyword arguments.
        summary: one line for `harness list`.
    """

    kind: ClassVar[str]
    name: str
    target: str
    params: type[Params]
    summary: str

    @property
    def about(self) -> str:
        """A line on what its kind alone declares, for `harness describe`."""
        return ""

    def load(self) -> Callable[..., Any]:
        """Import the factory."""
        return load_target(self.target)


@dataclass(frozen=True)
class Backbone(Declaration):
    """`factory(**params)` -> `harness.model.parts.Backbone`."""

    kind: ClassVar[str] = "backbone"


@dataclass(frozen=True)
class Neck(Declaration):
    """`factory(in_features, **params)` -> `harness.model.parts.Neck`."""

    kind: ClassVar[str] = "neck"


@dataclass(frozen=True)
class Rpn(Declaration):
    """`factory(in_features, image_size=(h, w), **params)` -> `harness.model.parts.Rpn`."""

    kind: ClassVar[str] = "rpn"


@dataclass(frozen=True)
class RoiOp(Declaration):
    """`factory(in_features, **params)` -> `harness.model.parts.RoiOp`."""

    kind: ClassVar[str] = "roi_op"


@dataclass(frozen=True)
class BoxHead(Declaration):
    """`factory(in_feature, num_classes=..., image_size=(h, w), **params)` -> `parts.BoxHead`."""

    kind: ClassVar[str] = "box_head"


@dataclass(frozen=True)
class DenseHead(Declaration):
    """`factory(in_features, num_classes=..., image_size=(h, w), **params)` -> `parts.DenseHead`."""

    kind: ClassVar[str] = "dense_head"


PARTS: tuple[type[Declaration], ...] = (Backbone, Neck, Rpn, RoiOp, BoxHead, DenseHead)
PART_KINDS: tuple[str, ...] = tuple(part.kind for part in PARTS)


@dataclass(frozen=True)
class Architecture(Declaration):
    """`factory(builder, **params)` -> `harness.model.detector.Detector`, put together from parts.

    Attributes:
        slots: the kinds of parts that it is assembled from, one of each, in the order in which
            an image passes them; `builder.build(slot, ...)` makes them.
    """

    kind: ClassVar[str] = "architecture"
    slots: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        return f"slots: {', '.join(self.slots)}"

    def __post_init__(self) -> None:
        strange = [slot for slot in self.slots if slot not in PART_KINDS]
        if strange or not self.slots or len(set(self.slots)) < len(self.slots):
            raise ValueError(
                f"the slots of architecture '{self.name}' are {self.slots}, not some of "
                f"{', '.join(PART_KINDS)}, each once"
            )


@dataclass(frozen=True)
class WholeDetector(Declaration):
    """`factory(num_classes=..., **params)` -> `harness.model.detector.Detector`.

    Attributes:
        takes: what else a manifest may give it: "input", then the factory is called with
            `input=` an `Input` of `harness.manifest.schema` or None; "backbone", then with
            `backbone=` a built backbone or None.
    """

    kind: ClassVar[str] = "detector"
    takes: tuple[Literal["input", "backbone"], ...] = ()

    @property
    def about(self) -> str:
        return f"may be given: {', '.join(self.takes)}" if self.takes else ""


@dataclass(frozen=True)
class Dataset(Declaration):
    """`factory(**params)` -> `harness.data.source.DataSource`. The target imports no torch."""

    kind: ClassVar[str] = "dataset"


@dataclass(frozen=True)
class Reader(Declaration):
    """A layout of data sets on disk: `find(root)` -> its splits, as `harness.data.splits.Found`.

    None of them where the folder is not of this layout. What labels say is read later, by
    `Found.convert`, into a COCO file in the cache. The target imports no torch.

    Attributes:
        title: what `harness doctor` calls the layout.
        looked_for: what it is recognised by, as an error lists it.
    """

    kind: ClassVar[str] = "reader"
    params: type[Params] = NoParams
    summary: str = ""
    title: str = ""
    looked_for: str = ""

    @property
    def about(self) -> str:
        return f"looks for {self.looked_for}" if self.looked_for else ""


@dataclass(frozen=True)
class Meter(Declaration):
    """`factory(**params)` -> a callable that returns measurements; see `harness.stages.inputs`.

    Attributes:
        stage: the stage that hands the meter its input.
        metrics: what it writes; a function of the params where they decide.
        messages: code of a warning or check -> its wording, `str.format` with its parameters; the
            gravest first, since short summaries show only that.
    """

    kind: ClassVar[str] = "meter"
    stage: Stage
    metrics: tuple[MetricSpec, ...] | Callable[[Any], tuple[MetricSpec, ...]]
    messages: Mapping[str, str] = field(default_factory=dict)

    def specs(self, params: Params | None = None) -> tuple[MetricSpec, ...]:
        """The metrics that it writes with these params.

        Without any, with its own defaults; none where they depend on params that have no default.
        """
        if not callable(self.metrics):
            return self.metrics
        if params is None:
            try:
                params = self.params()
            except ValidationError:
                return ()
        return self.metrics(params)


@dataclass(frozen=True)
class Mode(Declaration):
    """`factory()` -> a `harness.modes.runner.Runtime`: a way to run a detector.

    Attributes:
        preparing: what its first calls do that takes long, in a word: "compiling". The seconds
            are then measured. "" where they do nothing of the kind.
        quantized: it computes in fewer bits, with scales chosen on images of the training split.
            It need not find what eager finds: its own score is measured, on the validation split.
    """

    kind: ClassVar[str] = "mode"
    params: type[Params] = NoParams
    summary: str = ""
    preparing: str = ""
    quantized: bool = False


@dataclass(frozen=True)
class Executor(Declaration):
    """`factory(**params)` -> a `harness.run.jobs.Executor`: where the cells of a run run."""

    kind: ClassVar[str] = "executor"


@dataclass(frozen=True)
class Tracker(Declaration):
    """`factory(cell, **params)` -> a `harness.run.tracking.Tracker`, as accelerate's trackers are.

    Called with a `harness.run.tracking.TrackedCell`. The module says by UserError what it lacks.
    """

    kind: ClassVar[str] = "tracker"


@dataclass(frozen=True)
class Optimizer(Declaration):
    """`factory(model, **params)` -> a `torch.optim.Optimizer` of the weights that are trained.

    Its params have `lr`, the rate that a schedule begins from, and `weight_decay`, which another
    optimiser in a layer above inherits.

    Attributes:
        capturable: its step keeps all that changes in tensors and so may be captured in a CUDA
            graph; then the factory is called with `capturable=` a bool.
    """

    kind: ClassVar[str] = "optimizer"
    capturable: bool = False

    @property
    def about(self) -> str:
        return "its steps can be captured" if self.capturable else ""

    def __post_init__(self) -> None:
        for name in ("lr", "weight_decay"):
            if name not in self.params.model_fields:
                raise ValueError(f"the params of optimizer '{self.name}' have no '{name}'")


@dataclass(frozen=True)
class Schedule(Declaration):
    """`factory(**params)` -> `rate(step, length, lr)`, the learning rate of a step from 0.

    A pure function of the step, of a `harness.plugin.Length` and of the optimiser's `lr`, so that
    there is nothing to restore.
    """

    kind: ClassVar[str] = "schedule"


@dataclass(frozen=True)
class Augmentation(Declaration):
    """`factory(**params)` -> `augment(image, target)` -> both, as in `torchvision.transforms.v2`.

    The image is a `tv_tensors.Image`, uint8; the target a dict of "boxes" (`BoundingBoxes` in
    XYXY) and "labels". A transform of torchvision may be the target itself. Random numbers come
    from torch's default generator, which is seeded for each sample.

    Attributes:
        images: of how many it makes one at most. Where of several, a third argument is a function
            that draws another sample each time it is called, and `close_augment` leaves it out.
        takes: what else the factory is called with: `image_size`, the (height, width) of the
            network's input, or `mean`, the colour (0..255, RGB) around photos.
    """

    kind: ClassVar[str] = "augmentation"
    images: int = 1
    takes: tuple[Literal["image_size", "mean"], ...] = ()

    @property
    def about(self) -> str:
        return f"makes one image of {self.images} at most" if self.images > 1 else ""


@dataclass(frozen=True)
class Trainee:
    """A detector that a recipe is for, as a manifest says.

    Attributes:
        parts: complete params of its parts, by kind.
        image_size: (height, width) of the network's input.
        batch_size: images of a batch, None where the recipe decides.
        batches: of a step, over all processes.
    """

    parts: Mapping[str, Mapping[str, Any]]
    image_size: tuple[int, int]
    batch_size: int | None
    batches: int


@dataclass(frozen=True)
class Recipe(Declaration):
    """How the authors of a detector train it: `factory(trainee)` -> keys of a manifest's `train`.

    With a `Trainee`. The target imports no torch.

    Attributes:
        of: kind and name of the part whose detectors have it as `recipe: paper`; of none where
            it is chosen by its name alone.
        source: where it is published, for readers.
        given: params of that part which belong to it.
    """

    kind: ClassVar[str] = "recipe"
    params: type[Params] = NoParams
    summary: str = ""
    of: tuple[str, str] = ("", "")
    source: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def about(self) -> str:
        whose = f"recipe: paper of detectors with the {' '.join(self.of)}" if any(self.of) else ""
        return "; ".join(filter(None, (whose, self.source)))


@dataclass(frozen=True)
class Section(Declaration):
    """A section of the page: `build(run)` -> what it shows, or None where it has nothing.

    A `markupsafe.Markup` is put into the page as it is, a plain string as a paragraph of text, a
    pandas frame as a table. What raises leaves a line in its place.

    Attributes:
        title: its heading, and its entry in the menu.
        order: its place; the shipped ones stand at 10, 20, 30 ... (`harness list`).
    """

    kind: ClassVar[str] = "section"
    params: type[Params] = NoParams
    summary: str = ""
    title: str = ""
    order: float = 1000


@dataclass(frozen=True)
class Figure(Section):
    """A figure of the page: `build(run)` -> a plotly figure or a `harness.report.figure.Drawing`.

    Or a list of them, or None where it has nothing to show.
    """

    kind: ClassVar[str] = "figure"
