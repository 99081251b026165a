"""Modes in which segments of a detector run in another runtime, and the rest as in eager."""

import shutil
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Protocol

import torch
from torch import Tensor

from harness.data.resize import collate_images
from harness.errors import CellError
from harness.model.arithmetic import arithmetic
from harness.model.detector import Detector
from harness.modes.runner import Artifact, Calibration, NodeTime, Runner, functions_of
from harness.plugin import Finding
from harness_plugins.runtimes.processor import has_int8_products
from harness_plugins.runtimes.tracing import Traced, fill, tensors_of, trace

Session = Callable[[Sequence[Tensor]], Sequence[Tensor]]
Shapes = tuple[tuple[torch.Size, torch.dtype], ...]
Structure = tuple[Any, ...]
# what a node was made from, by names of the exported graph's nodes or values, and its milliseconds
NamedTime = tuple[tuple[str, ...], float]
UNTIMED = 3  # repetitions under a profiler, as a new session's first are slower


@dataclass(frozen=True)
class Profiled:
    """A session whose nodes are timed.

    Attributes:
        times: the nodes of each call until now; it ends the session.
    """

    session: Session
    times: Callable[[], Sequence[Sequence[NamedTime]]]


@dataclass(frozen=True)
class Written:
    """A model's files.

    Attributes:
        paths: the first is what a session is opened from.
        used: places, among the tensors that the segment takes, of those that the session takes.
        floats: operators that are not in 8 bits, of a model that is quantised.
        modules: names of the model's nodes and values -> path of the module in the detector that
            they come from, for a runtime with a profiler.
    """

    paths: tuple[Path, ...]
    used: tuple[int, ...]
    floats: Counter[str] = field(default_factory=Counter)
    modules: Mapping[str, str] = field(default_factory=dict)


class Write(Protocol):
    """Writes a segment's model beside a path without suffix.

    Args:
        samples: what the segment takes for the images of a calibration: then it is quantised.
    """

    def __call__(
        self, traced: Traced, path: Path, samples: Sequence[Sequence[Tensor]] | None, /
    ) -> Written: ...


@dataclass(frozen=True)
class ExportingRuntime:
    """A runtime for models in a format of its own, on the CPU, in float32 or quantised to 8 bits.

    Attributes:
        mode: its name.
        package: the runtime's own.
        extra: of this project, that installs `needs`.
        needs: packages.
        provider: what in the runtime does the work, for the record.
        open: makes a session of a file, in a precision, with as many threads as torch has.
        write: makes the file.
        open_profiled: the same with the runtime's own profiler, where it has one.
        other: why it lacks a precision that is not float32; None of a mode that has no other.
    """

    mode: str
    package: str
    extra: str
    needs: tuple[str, ...]
    provider: str
    open: Callable[[Path, str], Session]
    write: Write
    open_profiled: Callable[[Path, str], AbstractContextManager[Profiled]] | None = None
    other: Callable[[str, torch.device], str | None] | None = None

    def lacking(self, precision: str, device: torch.device) -> str | None:
        missing = [name for name in self.needs if find_spec(name) is None]
        if missing:
            return f"needs {', '.join(missing)}: pip install 'harness[{self.extra}]'"
        if device.type != "cpu":
            return f"{self.mode} runs on processors here"
        if precision == "float32":
            return None
        if self.other is None:
            return f"{self.mode} has no other precision here"
        return self.other(precision, device)

    def build(
        self,
        detector: Detector,
        precision: str,
        calibration: Calibration | None = None,
        folder: Path | None = None,
    ) -> Runner:
        """As every runtime.

        Args:
            folder: of the files, which stay there; without it they last as long as the runner.
        """
        own = deepcopy(detector)
        samples = None if calibration is None else Samples(detector, calibration)

        def opened(path: Path) -> Session:
            return self.open(path, precision)

        segments = [
            Segment(name, detector, opened, self.write, folder or _temporary(own), samples)
            for name in detector.segments
        ]
        for segment in segments:
            put(segment, segment.name, own)

        def profile(step: Callable[[], object], runs: int) -> list[list[NodeTime]]:
            assert self.open_profiled is not None
            return profile_segments(segments, self.open_profiled, precision, step, runs)

        slow = calibration is not None and not has_int8_products()
        functions = {k: arithmetic(precision)(f) for k, f in functions_of(own).items()}
        return Runner(
            own,
            self.mode,
            precision,
            about=lambda: self._about(segments, calibration),
            compile_seconds=lambda: sum(s.seconds for s in segments),
            artifact=lambda: _artifact(segments),
            profile=profile if self.open_profiled else None,
            findings=(Finding("no_int8_products", "remark"),) if slow else (),
            **functions,
        )

    def _about(
        self, segments: "Sequence[Segment]", calibration: Calibration | None
    ) -> dict[str, Any]:
        """What the conditions of its records say; of 8 bits what is in float, as it is known."""
        about: dict[str, Any] = {
            "runtime": f"{self.package} {version(self.package)}",
            "provider": self.provider,
            "segments": [segment.name for segment in segments],
        }
        if calibration is None:
            return about
        return about | {
            "precision": "int8",
            "calibration_images": len(calibration.images),
            "calibration_seed": calibration.seed,
            "float_operators": dict(sum((s.floats for s in segments), Counter())),
        }

    def save(
        self,
        detector: Detector,
        folder: Path,
        batch_size: int,
        calibration: Calibration | None = None,
    ) -> dict[str, Any]:
        """Write each segment for batches of this size; the files, and what their conditions are."""
        runner = self.build(detector, "float32", calibration, folder)
        grey = torch.full((3, 320, 320), 127, dtype=torch.uint8)
        runner.detect([grey] * batch_size)
        found = [path.name for name in detector.segments for path in _segment(name, runner).paths]
        return {**runner.conditions, "batch_size": batch_size, "files": found}


def _segment(name: str, runner: Runner) -> "Segment":
    found = get(name, runner.detector)
    assert isinstance(found, Segment)
    return found


def _artifact(segments: "Sequence[Segment]") -> Artifact:
    paths = [path for segment in segments for path in segment.paths]
    size = sum(path.stat().st_size for path in paths)
    return Artifact(size, "files", lambda: sum(segment.reload() for segment in segments))


def _temporary(owner: object) -> Path:
    """A folder that lasts as long as its owner, at the longest until the process ends."""
    folder = Path(mkdtemp(prefix="harness-"))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass
class Made:
    """A segment for one shape of its inputs; what it returned when it was traced."""

    files: Written
    session: Session
    like: Any


@dataclass
class Segment:
    """A method or submodule of a detector, run by sessions: one for each shape of its inputs.

    Attributes:
        name: its path in the detector.
        detector: whose weights are exported; it is not changed.
        folder: where its files lie, named as it is.
        samples: that it is quantised with; None leaves it in float32.
        seconds: that exporting and loading took until now.
    """

    name: str
    detector: Detector
    open: Callable[[Path], Session]
    write: Write
    folder: Path
    samples: "Samples | None" = None
    seconds: float = 0.0
    made: dict[Shapes, Made] = field(default_factory=dict)

    @property
    def paths(self) -> list[Path]:
        return [path for made in self.made.values() for path in made.files.paths]

    @property
    def floats(self) -> Counter[str]:
        """Operators that are not in 8 bits, of all that is quantised."""
        return sum((made.files.floats for made in self.made.values()), Counter())

    def __call__(self, *given: Any) -> Any:
        tensors = tensors_of(given)
        shapes = shapes_of(tensors)
        if shapes not in self.made:
            started = time.perf_counter()
            self.made[shapes] = self._make(given)
            self.seconds += time.perf_counter() - started
        made = self.made[shapes]
        return fill(made.like, made.session([tensors[i].contiguous() for i in made.files.used]))

    def reload(self) -> float:
        """Open all files again; how many seconds that takes."""
        spent = 0.0
        for made in self.made.values():
            started = time.perf_counter()
            made.session = self.open(made.files.paths[0])
            spent += time.perf_counter() - started
        return spent

    def _make(self, given: Structure) -> Made:
        with torch.inference_mode(False):  # exporters trace with tensors of their own
            dense = torch.contiguous_format  # as sessions are given them
            clones = fill(given, [t.clone(memory_format=dense) for t in tensors_of(given)])
            traced = trace(self.name, self.detector, get(self.name, self.detector), clones)
            samples = None
            if self.samples is not None:
                samples = self.samples.of(self.name, shapes_of(tensors_of(given)))
            number = f"_{len(self.made) + 1}" if self.made else ""
            files = self.write(traced, self.folder / f"{self.name}{number}", samples)
        return Made(files, self.open(files.paths[0]), traced.like)


def profile_segments(
    segments: Sequence[Segment],
    opened: Callable[[Path, str], AbstractContextManager[Profiled]],
    precision: str,
    step: Callable[[], object],
    runs: int,
) -> list[list[NodeTime]]:
    """Repeat a step with profiled sessions in place of the segments' own.

    Returns:
        the nodes of all segments in each of `runs` repetitions.
    """
    made = [one for segment in segments for one in segment.made.values()]
    own = [one.session for one in made]
    with ExitStack() as stack:
        profiled = [stack.enter_context(opened(one.files.paths[0], precision)) for one in made]
        try:
            for one, other in zip(made, profiled, strict=True):
                one.session = other.session
            for _ in range(UNTIMED + runs):
                step()
        finally:
            for one, session in zip(made, own, strict=True):
                one.session = session
        found: list[list[NodeTime]] = [[] for _ in range(runs)]
        for one, other in zip(made, profiled, strict=True):
            # of a shape that the step does not have there are no times
            for nodes, run in zip(found, other.times()[UNTIMED:], strict=False):
                nodes += [_of_modules(names, spent, one.files.modules) for names, spent in run]
    return found


def _of_modules(names: Sequence[str], spent: float, modules: Mapping[str, str]) -> NodeTime:
    known = (modules[name] for name in names if name in modules)
    return NodeTime(tuple(dict.fromkeys(known)), spent)


@dataclass
class Samples:
    """What each segment of a detector takes when it sees the images of a calibration."""

    detector: Detector
    calibration: Calibration

    def of(self, name: str, shapes: Shapes) -> list[list[Tensor]]:
        """Those of these shapes.

        Raises:
            CellError: there are none.
        """
        found = [tensors for tensors in self.taken[name] if shapes_of(tensors) == shapes]
        if not found:
            count = len(self.calibration.images)
            sizes = ", ".join("x".join(map(str, shape)) for shape, _ in shapes)
            raise CellError(f"none of {count} calibration images gives {name} inputs of {sizes}")
        return found

    @cached_property
    def taken(self) -> dict[str, list[list[Tensor]]]:
        own = deepcopy(self.detector)
        taken: dict[str, list[list[Tensor]]] = {name: [] for name in own.segments}
        for name, kept in taken.items():
            put(_recording(get(name, own), kept), name, own)
        images, size = self.calibration.images, self.calibration.batch_size
        with torch.inference_mode():
            for start in range(0, len(images), size):
                batch = [images[(start + i) % len(images)] for i in range(size)]
                inputs = own.prepare(collate_images([own.resize(image) for image in batch]))
                own.network(inputs)
        return taken


def _recording(function: Callable[..., Any], kept: list[list[Tensor]]) -> Callable[..., Any]:
    def run(*given: Any) -> Any:
        kept.append([t.clone().contiguous() for t in tensors_of(given)])
        return function(*given)

    return run


def shapes_of(tensors: Sequence[Tensor]) -> Shapes:
    return tuple((t.shape, t.dtype) for t in tensors)


def get(name: str, detector: Detector) -> Callable[..., Any]:
    """The method or submodule at a path in a detector."""
    parent, _, attribute = name.rpartition(".")
    found: Callable[..., Any] = getattr(detector.get_submodule(parent), attribute)
    return found


def put(function: Callable[..., Any], name: str, detector: Detector) -> None:
    """Let `function` stand there."""
    parent, _, attribute = name.rpartition(".")
    # torch lets no submodule be set to what is none; this is found before it, and before methods
    vars(detector.get_submodule(parent))[attribute] = function
