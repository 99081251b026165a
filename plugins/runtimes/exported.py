"""Modes in which segments of a detector run in another runtime, and the rest as in eager."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.data.resize import collate_images
from harness.errors import CellError
from harness.model.arithmetic import arithmetic
from harness.model.detector import Detector
from harness.modes.runner import Calibration, Runner, functions_of
from harness.plugin import Finding
from harness_plugins.runtimes.export import export, fill, tensors_of
from harness_plugins.runtimes.quantize import has_int8_products, left_in_float, quantize

if TYPE_CHECKING:
    from onnx import ModelProto

Session = Callable[[Sequence[Tensor]], Sequence[Tensor]]
Shapes = tuple[tuple[torch.Size, torch.dtype], ...]
Structure = tuple[Any, ...]


@dataclass(frozen=True)
class ExportingRuntime:
    """A runtime for ONNX models, on the CPU, in float32 or quantised to 8 bits.

    Attributes:
        mode: its name.
        package: the runtime's own.
        extra: of this project, that installs `needs`.
        needs: packages.
        provider: what in the runtime does the work, for the record.
        open: makes a session of a model, with as many threads as torch has.
        write: saves a model beside a path without suffix; the names of the files.
    """

    mode: str
    package: str
    extra: str
    needs: tuple[str, ...]
    provider: str
    open: "Callable[[ModelProto], Session]"
    write: "Callable[[ModelProto, Path], Sequence[str]]"

    def lacking(self, precision: str, device: torch.device) -> str | None:
        missing = [name for name in self.needs if find_spec(name) is None]
        if missing:
            return f"needs {', '.join(missing)}: pip install 'harness[{self.extra}]'"
        if device.type != "cpu":
            return f"{self.mode} runs on processors here"
        return None if precision == "float32" else f"{self.mode} has no other precision here"

    def build(
        self,
        detector: Detector,
        precision: str,
        calibration: Calibration | None = None,
        opening: "Callable[[str], Callable[[ModelProto], Session]] | None" = None,
    ) -> Runner:
        """As every runtime.

        Args:
            opening: name of a segment -> what is to be called in place of `open`.
        """
        own = deepcopy(detector)
        samples = None if calibration is None else Samples(detector, calibration)
        segments = [
            Segment(name, detector, self.open if opening is None else opening(name), samples)
            for name in detector.segments
        ]
        for segment in segments:
            put(segment, segment.name, own)
        about: dict[str, Any] = {
            "runtime": f"{self.package} {version(self.package)}",
            "provider": self.provider,
            "segments": list(detector.segments),
        }
        if calibration is not None:
            about |= {
                "precision": "int8",
                "calibration_images": len(calibration.images),
                "calibration_seed": calibration.seed,
            }

        def tell() -> dict[str, Any]:
            if calibration is None:
                return about
            return {**about, "float_operators": dict(sum((s.floats for s in segments), Counter()))}

        slow = calibration is not None and not has_int8_products()
        functions = {k: arithmetic(precision)(f) for k, f in functions_of(own).items()}
        return Runner(
            own,
            self.mode,
            precision,
            about=tell,
            compile_seconds=lambda: sum(s.seconds for s in segments),
            findings=(Finding("no_int8_products", "remark"),) if slow else (),
            **functions,
        )

    def save(
        self,
        detector: Detector,
        folder: Path,
        batch_size: int,
        calibration: Calibration | None = None,
    ) -> dict[str, Any]:
        """Write each segment for batches of this size; the files, and what their conditions are."""
        files: list[str] = []

        def opening(name: str) -> "Callable[[ModelProto], Session]":
            def run(model: "ModelProto") -> Session:
                files.extend(self.write(model, folder / name))
                return self.open(model)

            return run

        runner = self.build(detector, "float32", calibration, opening)
        grey = torch.full((3, 320, 320), 127, dtype=torch.uint8)
        runner.detect([grey] * batch_size)
        return {**runner.conditions, "batch_size": batch_size, "files": files}


@dataclass
class Segment:
    """A method or submodule of a detector, run by sessions: one for each shape of its inputs.

    Attributes:
        name: its path in the detector.
        detector: whose weights are exported; it is not changed.
        samples: that it is quantised with; None leaves it in float32.
        seconds: that exporting and loading took until now.
        floats: operators that are not in 8 bits, of all that is quantised.
    """

    name: str
    detector: Detector
    open: "Callable[[ModelProto], Session]"
    samples: "Samples | None" = None
    seconds: float = 0.0
    floats: Counter[str] = field(default_factory=Counter)
    made: dict[Shapes, tuple[Session, tuple[int, ...], Any]] = field(default_factory=dict)

    def __call__(self, *given: Any) -> Any:
        tensors = tensors_of(given)
        shapes = shapes_of(tensors)
        if shapes not in self.made:
            started = time.perf_counter()
            self.made[shapes] = self._make(given)
            self.seconds += time.perf_counter() - started
        session, used, like = self.made[shapes]
        return fill(like, session([tensors[i].contiguous() for i in used]))

    def _make(self, given: Structure) -> tuple[Session, tuple[int, ...], Any]:
        with torch.inference_mode(False):  # exporters trace with tensors of their own
            clones = fill(given, [t.clone() for t in tensors_of(given)])
            made = export(self.name, self.detector, get(self.name, self.detector), clones)
        model = made.model
        if self.samples is not None:
            found = self.samples.of(self.name, shapes_of(tensors_of(given)))
            model = quantize(model, [[tensors[i] for i in made.used] for tensors in found])
            self.floats += left_in_float(model)
        return self.open(model), made.used, made.like


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
