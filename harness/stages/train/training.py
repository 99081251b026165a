"""A training under way: its steps, and how it is saved and resumed."""

import math
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from torch import Tensor, nn

from harness.data.cache import keep_compiled_kernels
from harness.data.loader import TrainLoader
from harness.errors import CellError, Interrupted, UserError
from harness.manifest.schema import Train
from harness.model.detector import Detector
from harness.records.layout import TRAIN_LOG, TRAIN_STATE
from harness.stages.train import recipe
from harness.stages.train.capture import CudaGraph, StaticStep
from harness.stages.train.clock import Clock, CompileClock
from harness.stages.train.launch import ECHO_SECONDS, StopRequest, choose_way
from harness.stages.train.losses import LossWindow, TrainLog
from harness.stages.train.result import OnProgress, Progress
from harness.stages.train.state import (
    RETRAIN,
    State,
    capture_rng,
    pack,
    preserved_rng,
    restore_rng,
    unchanged_rng,
    write_checkpoint,
    write_state,
)
from harness.stages.train.step import TRAIN_LAYOUT, Batch, Numbers, Step, standard_layout

# Of a training's time at most this goes into checkpoints at the ends of epochs: a GPU takes a
# second for an epoch of a few hundred images, and writing takes nearly as long.
SAVE_SHARE = 0.05
# Metrics of the validation split, the main score first; where several processes call it, the first
# one is given them. May raise CellError and UserError.
Validate = Callable[[Detector], Mapping[str, float]]


class Training:
    """What changes from step to step. `restore` before `run`, `release` after it.

    Args:
        about: the checkpoint's origin, for its meta; with "fingerprint".
        graph: replaces the CUDA graph that steps are captured in.
        identity: the settings that the fingerprint is of.
        validate: evaluates a copy of the detector, as often as `settings.evaluate_every` says.
        on_progress: called in the main process.

    Raises:
        UserError: settings without a length, or that several processes cannot follow.
    """

    def __init__(
        self,
        detector: Detector,
        loader: TrainLoader,
        settings: Train,
        accelerator: Accelerator,
        folder: Path,
        about: Mapping[str, Any],
        graph: CudaGraph | None = None,
        identity: Mapping[str, Any] | None = None,
        validate: Validate | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self.detector, self.loader, self.settings = detector, loader, settings
        self.accelerator, self.folder, self.on_progress = accelerator, folder, on_progress
        self.about, self.identity = dict(about), identity or {}
        self.lengths: list[int] = []  # of shorter trainings that this one goes on from
        self.device: torch.device = accelerator.device
        self.optimization = recipe.Optimization.of(settings)
        self.length = settings.length(loader.steps_per_epoch)
        self.total = self.length.steps
        self.step, self.losses, self.loss_steps = 0, dict[str, float](), 0
        self.begun_epoch: int | None = None
        self.closes, self.closed = settings.last_phase(loader.steps_per_epoch), False
        self.window, self.clock = LossWindow(), Clock(sessions=1)
        self.log: TrainLog | None = None
        self.rates, self.within_step = (math.nan, math.nan), False
        self.began, self.saving_seconds = time.perf_counter(), 0.0
        self.way = choose_way(
            settings, self.device, accelerator.num_processes, self.optimization.capturable
        )
        if graph is None and self.way.captured:
            graph = CudaGraph(self.device)
        self.compile_clock = CompileClock()
        self.validate, self.validation, self.validated = validate, dict[str, float](), 0
        # as it was before anything wrapped it; it is given the weights each time
        asked = validate is not None and settings.evaluate_every is not None
        self.evaluated = deepcopy(detector).to(self.device).eval() if asked else None
        detector.to(self.device).to(memory_format=TRAIN_LAYOUT).train()
        self.ema = recipe.build_ema(detector, settings)
        self.module = self.share_norms(detector)
        if self.way.compiled:
            keep_compiled_kernels()
            self.module.compile()
        optimizer = self.optimization.build_optimizer(self.module, captured=graph is not None)
        self.model, self.optimizer = accelerator.prepare(self.module, optimizer)
        step = Step(detector, self.model, self.optimizer, accelerator, settings.clip_norm)
        self.take: Step | StaticStep = step
        if self.way.compiled or graph is not None:
            self.take = StaticStep(step, loader.most_boxes, self.device, graph)

    def share_norms(self, detector: Detector) -> nn.Module:
        """A copy whose batch norms share their statistics, else the detector itself.

        Only CUDA has synchronised batch norm; on several CPU processes each keeps its own.
        """
        if not (self.settings.sync_bn and self.is_parallel and self.device.type == "cuda"):
            return detector
        convert: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
        return convert(deepcopy(detector))

    @property
    def is_parallel(self) -> bool:
        return bool(self.accelerator.num_processes > 1)

    @property
    def is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def run(self, stop: StopRequest) -> State:
        """Train to the end and return the state that says done.

        Raises:
            CellError, Interrupted, UserError: as `train`.
        """
        if self.is_main:
            self.log = TrainLog(self.folder / TRAIN_LOG, keep_until=self.step)
        try:
            with self.watching_compilers(), warnings.catch_warnings():
                # 1x1 kernels have two names for one layout, and torch compares names
                warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
                self.take_steps(stop)
        except RuntimeError:
            self.save_after_crash(stop)
            raise
        done = self.finish()
        self.stop_if_asked(stop)
        return done

    def take_steps(self, stop: StopRequest) -> None:
        batches = endless(self.loader, self.step * self.settings.accumulate)
        begun = self.step
        while self.step < self.total:
            self.stop_if_asked(stop)
            with self.clock.step(settled=self.step > begun and self.take.settled):
                with self.clock.waiting(), preserved_rng():
                    # all of a step's batches, before any of them changes a weight
                    micro = [next(batches) for _ in range(self.settings.accumulate)]
                self.within_step = True
                lr = self.advance(micro)
                saves = self.save_is_due()
                self.check_losses(lr, saves)
                self.within_step = False
            self.validate_if_due()
            self.tell(lr)
            if saves:
                self.save()

    def validate_if_due(self) -> None:
        """Evaluate the weights that would be saved; the training goes on as if nothing had been.

        An evaluation that fails is a line of the log, and no end of the training.
        """
        if self.evaluated is None or self.validate is None:
            return
        if not self.settings.evaluates_after(self.step, self.loader.steps_per_epoch):
            return
        self.tell(doing="evaluating")
        failed = ""
        with self.clock.apart(self.device), unchanged_rng(self.device):
            weights = self.weights()
            self.evaluated.load_state_dict(broadcast(weights) if self.is_parallel else weights)
            try:
                self.validation = dict(self.validate(self.evaluated.eval()))
            except (CellError, UserError) as error:
                if self.is_parallel:  # the others wait for this process
                    raise
                self.validation, failed = {}, str(error)
        self.validated = self.step
        if self.log is not None:
            place = {"step": self.step, "epoch": self.epoch}
            self.log.append_validation(place, self.validation, failed)
        if failed:
            self.tell(doing=f"evaluation after step {self.step} failed: {failed}")

    @contextmanager
    def watching_compilers(self) -> Iterator[None]:
        """Count their seconds, and report when a step waits for them."""
        if not self.way.compiled:
            yield
            return
        self.compile_clock.on_start = lambda: self.tell(doing="compiling")
        with self.compile_clock.running():
            yield

    def save_after_crash(self, stop: StopRequest) -> None:
        """Raise Interrupted if a signal is behind the crash, saving first if that is possible.

        A signal to the whole process group kills the loader's workers too, and torch then
        raises RuntimeError wherever this process is, within a step perhaps: then the weights
        are of no step, and the state before is the one to go on from.
        """
        time.sleep(ECHO_SECONDS / 4)  # the workers may have got it first
        if stop.signum is None or self.is_parallel:
            return
        if not self.within_step:
            self.stop_if_asked(stop)
        line = f"{name_of(stop.signum)} within step {self.step + 1} of {self.total}"
        raise Interrupted(stop.signum, f"{line}; --resume continues from the last checkpoint")

    def advance(self, micro: list[Batch]) -> float:
        """One optimiser step; returns its learning rate."""
        lr = self.optimization.learning_rate(self.step, self.length)
        recipe.set_learning_rate(self.optimizer, lr)
        self.begin_epoch()
        self.begin_last_phase()
        images = sum(len(inputs.pixels) for inputs, _ in micro)
        self.clock.count(images * self.accelerator.num_processes)
        numbers: Numbers = self.take(micro)
        self.step += 1
        if self.ema is not None:
            self.ema.update(self.module, step=self.step)
        self.window.add(self.step, numbers)
        return lr

    def begin_epoch(self) -> None:
        """Tell the detector, once for each."""
        if self.epoch != self.begun_epoch:
            self.begun_epoch = self.epoch
            batches = self.total * self.settings.accumulate
            trained: Any = self.module  # the detector, or a copy with shared norms
            trained.begin_epoch(self.epoch, -(-batches // self.loader.steps_per_epoch))

    def begin_last_phase(self) -> None:
        """Tell the detector, once."""
        if self.closes is not None and self.step >= self.closes and not self.closed:
            self.closed = True
            trained: Any = self.module
            trained.begin_last_phase()

    def check_losses(self, lr: float, saves: bool) -> None:
        """Read the losses: at log lines, before checkpoints, and wherever reading is free.

        Raises:
            CellError: one is NaN or infinite.
        """
        free = self.device.type == "cpu" and not self.is_parallel
        if not (self.ends_line or free or saves):
            return
        bad = self.window.first_bad(self.accelerator)
        if bad is not None:
            late = f", noticed at step {self.step}" if bad.step < self.step else ""
            raise CellError(f"{bad}{late} (learning rate {lr:.3g})")
        if self.ends_line:
            self.write_line(lr)

    @property
    def ends_line(self) -> bool:
        """Whether a line of the log is written behind this step."""
        return self.step % self.settings.log_every == 0 or self.step == self.total

    def write_line(self, lr: float) -> None:
        self.losses, self.loss_steps = self.window.means(self.accelerator), self.window.steps
        self.window.reset()
        self.rates = self.clock.lap()
        self.clock.note_memory(self.device)
        if self.log is not None:
            place = {"step": self.step, "epoch": self.epoch, "lr": lr}
            rates = {"images_per_second": self.rates[0], "wait_share": self.rates[1]}
            self.log.append({**place, **self.losses, **rates})

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.step * self.settings.accumulate // self.loader.steps_per_epoch

    def tell(self, lr: float = math.nan, doing: str = "") -> None:
        """How far it is, and what keeps the next step waiting."""
        if self.on_progress is not None and self.is_main:
            progress = Progress(
                self.step, self.total, self.epoch, self.losses, lr, *self.rates, doing,
                self.validation, self.validated, ends_line=self.ends_line and not doing,
            )  # fmt: skip
            self.on_progress(progress)

    def stop_if_asked(self, stop: StopRequest) -> None:
        """Save and raise Interrupted once a signal has come.

        Several processes must agree on the step to stop at, so they ask one another, at the
        log lines, where they wait anyway.
        """
        signum = stop.signum or 0
        if self.is_parallel:
            if not self.ends_line:
                return
            asked = torch.tensor([signum], device=self.device)
            signum = int(self.accelerator.gather(asked).max())
        if not signum:
            return
        if self.step < self.total:
            self.save()
        raise Interrupted(
            signum,
            f"{name_of(signum)} at step {self.step} of {self.total}; --resume continues there",
        )

    def save_is_due(self) -> bool:
        """At the ends of epochs, unless they are so short that it would take too much time.

        Several processes save at every one: they must agree, and their clocks do not.
        """
        batches = self.step * self.settings.accumulate
        ends_epoch = batches % self.loader.steps_per_epoch < self.settings.accumulate
        if not ends_epoch or self.step == self.total:
            return False
        spent = time.perf_counter() - self.began
        return self.is_parallel or self.saving_seconds <= SAVE_SHARE * spent

    def save(self) -> None:
        """Checkpoint and state, in this order: a kill between them only repeats some steps.

        Raises:
            UserError: as `write_atomic`.
        """
        started = time.perf_counter()
        self.write_weights()
        snapshot = self.snapshot()
        if self.is_main:
            write_state(self.folder, snapshot)
        self.saving_seconds += time.perf_counter() - started

    def finish(self) -> State:
        """Final weights into the detector and, with a state that says done, on disk."""
        final = self.weights()
        if self.is_parallel:
            # without synchronised batch norm the processes' running statistics differ
            final = broadcast(final)
        self.write_weights(final)
        # whole, so that a longer training can go on from here
        done = {**self.snapshot(), "done": True, "conditions": self.conditions()}
        if self.is_main:
            write_state(self.folder, done)
        self.detector.load_state_dict(final)
        self.accelerator.wait_for_everyone()
        return done

    def weights(self) -> dict[str, Tensor]:
        """What is evaluated: the average under EMA, else the weights themselves."""
        kept = self.module if self.ema is None else self.ema.module
        return {name: value.contiguous() for name, value in kept.state_dict().items()}

    def write_weights(self, weights: dict[str, Tensor] | None = None) -> None:
        meta = {
            **self.about,
            "classes": list(self.detector.classes),
            "step": self.step,
            "total": self.total,
            "ema": self.ema is not None,
        }
        if self.is_main:
            write_checkpoint(self.folder, weights or self.weights(), meta)

    def snapshot(self) -> State:
        """Everything that the next step depends on."""
        scaler, ema = self.accelerator.scaler, self.ema
        return {
            "fingerprint": self.about["fingerprint"],
            "identity": pack(self.identity),
            "lengths": [*self.lengths, self.total],
            "processes": self.accelerator.num_processes,
            "step": self.step,
            "losses": self.losses,
            "window": self.loss_steps,
            "clock": self.clock.state_dict(),
            "done": False,
            "model": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": None if ema is None else ema.module.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "means": self.window.state_dict(),
            "rng": gather_object([capture_rng(self.device)]),
        }

    def restore(self, state: State) -> None:
        """Go back to `snapshot`.

        Raises:
            UserError: it belongs to another detector, or to a training that is longer already.
        """
        if state["step"] > self.total:
            found = f"has taken {state['step']} steps, more than {self.total}"
            raise UserError(found, where=self.folder / TRAIN_STATE, hint=RETRAIN)
        try:
            self.module.load_state_dict(state["model"])
            recipe.load_optimizer(self.optimizer, state["optimizer"])
            if self.ema is not None:
                self.ema.module.load_state_dict(state["ema"])
        except (RuntimeError, ValueError) as error:
            raise UserError(
                "belongs to another detector", where=self.folder / TRAIN_STATE, hint=RETRAIN
            ) from error
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.losses, self.loss_steps = state["step"], state["losses"], state["window"]
        self.window.load_state_dict(state["means"], self.device)
        self.clock = Clock(**{**state["clock"], "sessions": state["clock"]["sessions"] + 1})
        restore_rng(state["rng"][self.accelerator.process_index], self.device)
        *self.lengths, last = state["lengths"]
        if last != self.total:
            self.lengths.append(last)
            self.tell(doing=self.new_course(last))

    def new_course(self, last: int) -> str:
        """What becomes of the learning rate of a training that was to take `last` steps."""
        before, now = (
            self.optimization.learning_rate(self.step, replace(self.length, steps=steps))
            for steps in (last, self.total)
        )
        return (
            f"goes on from step {self.step} to {self.total} instead of {last}: the learning rate "
            f"is that of a training of {self.total} steps, {now:.3g} instead of {before:.3g}"
        )

    def release(self) -> None:
        """Leave the detector as a plain module in eval mode, whatever happened."""
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.accelerator.free_memory()
        if self.way.compiled:
            # a process holds few compiled versions of a function, which all detectors share; the
            # cache on disk keeps the kernels
            self.detector._compiled_call_impl = None
            torch._dynamo.reset()
        standard_layout(self.detector)
        self.detector.eval()

    def conditions(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "device": self.device.type,
            "precision": settings.precision,
            "batch_size": settings.batch_size,
            "processes": self.accelerator.num_processes,
            "accumulate": settings.accumulate,
            "optimizer": settings.optimizer.name,
            **self.how_steps_ran(),
            "workers": settings.workers,
            "threads": torch.get_num_threads(),
            "steps": self.total,
            **({"continued_from_steps": self.lengths} if self.lengths else {}),
        }

    def how_steps_ran(self) -> dict[str, Any]:
        """`step`; of a compiled one how long it took; of a captured one how often it was replayed,
        or why it never was."""
        said: dict[str, Any] = {"step": self.way.name}
        reason = self.way.reason
        if isinstance(self.take, StaticStep) and self.way.captured:
            reason = self.take.reason
            said["replayed_steps"] = self.take.replayed
            if reason is not None and not self.way.compiled:
                said["step"] = "eager"
        if reason is not None:
            said["not_captured"] = reason
        if self.way.compiled:
            said["compile_seconds"] = round(self.compile_clock.seconds, 1)
        return said


def endless(loader: TrainLoader, position: int) -> Iterator[Batch]:
    """Batches from `position` on, counted from the start of epoch 0 over all epochs."""
    epoch, start = divmod(position, loader.steps_per_epoch)
    while True:
        yield from loader.batches(epoch, start)
        epoch, start = epoch + 1, 0


def name_of(signum: int) -> str:
    return signal.Signals(signum).name
