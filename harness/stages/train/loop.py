"""The training stage: one detector, one seed, from a loader to a checkpoint."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from harness.data.loader import TrainLoader
from harness.manifest.schema import Train
from harness.model.arithmetic import arithmetic
from harness.model.checkpoint import load_detector, read_checkpoint
from harness.model.detector import Detector
from harness.records.layout import CHECKPOINT
from harness.stages.train.launch import StopRequest, check_device, start_accelerator
from harness.stages.train.result import OnProgress, TrainResult, result_of
from harness.stages.train.state import check_resumable, is_done, read_state
from harness.stages.train.training import Training, Validate

MakeLoader = Callable[[int, int], TrainLoader]  # (rank, world) -> the batches of this process


def train(
    detector: Detector,
    make_loader: MakeLoader,
    settings: Train,
    *,
    seed: int,
    folder: Path,
    device: torch.device | str = "cpu",
    fingerprint: str = "",
    identity: Mapping[str, Any] | None = None,
    resume: bool = False,
    on_progress: OnProgress | None = None,
    validate: Validate | None = None,
    meta: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train `detector` and leave it with the checkpoint's weights, in eval mode on `device`.

    `folder` gets `checkpoint.pt` (the weights, the averaged ones under EMA), `state.pt` (what
    resuming needs) and `train_log.jsonl`. The first two are renewed after every epoch (where
    epochs are short: after some), at the end, and on SIGTERM or SIGINT. A training that is done
    under the same fingerprint is not repeated; `resume` continues one that is not, on a CPU to
    the same bits as without the interruption, and one that was to be shorter. Under torchrun every
    process calls this, and the first one writes.

    Args:
        make_loader: (rank, world) -> the batches of this process.
        seed: for everything random in a step; the loader has its own.
        fingerprint: of all that determines the weights; a state of another is not continued,
            unless `identity` says that only the length differs.
        identity: what the fingerprint is of, as plain values by name.
        on_progress: called after each step in the main process.
        validate: called in every process with a detector that has the weights which would be
            saved, as often as `settings.evaluate_every` says; see `training.Validate`.
        meta: what the checkpoint's "meta" says besides classes, step, seed and fingerprint.

    Raises:
        CellError: a loss turned NaN or infinite.
        Interrupted: by a signal, after the checkpoint was written.
        UserError: the device is not there, or the folder cannot be written or holds a state
            that does not fit.
    """
    device = torch.device(device)
    check_device(settings, device)
    state = read_state(folder)
    if state is not None and is_done(state, folder, fingerprint):
        load_detector(detector.to(device).eval(), read_checkpoint(folder / CHECKPOINT))
        return result_of(state, folder)
    accelerator = start_accelerator(settings, device, seed)
    world = accelerator.num_processes
    if resume and state is not None:
        check_resumable(state, folder, fingerprint, identity or {}, world)
    with StopRequest() as stop, arithmetic(settings.precision):
        loader = make_loader(accelerator.process_index, world)
        about = {**(meta or {}), "seed": seed, "fingerprint": fingerprint}
        training = Training(
            detector, loader, settings, accelerator, folder, about, identity=identity,
            validate=validate, on_progress=on_progress,
        )  # fmt: skip
        try:
            if resume and state is not None:
                training.restore(state)
            return result_of(training.run(stop), folder)
        finally:
            training.release()
