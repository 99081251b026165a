"""TinyDet on real files through the real loader: it learns, and a resumed run has the same bits."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import warm_processes
from torch import Tensor

import harness
from harness.data.folder import CocoFolder
from harness.data.loader import train_loader
from harness.data.source import Split
from harness.errors import Interrupted
from harness.files import read_json_lines
from harness.manifest.schema import Train
from harness.model.checkpoint import read_checkpoint
from harness.stages.train.loop import train
from harness.stages.train.result import Progress
from harness_plugins.synthetic.source import SyntheticSource

pytestmark = pytest.mark.slow

SUITE = Path(__file__).parents[3] / "suites" / "tinydet.yaml"
STEPS, STOP = 6, 4


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        source = SyntheticSource(train_images=6, val_images=1, side=224, seed=0)
        source.prepare()
        return source.split("train")


def run(
    split: Split,
    folder: Path,
    *,
    stop: int = 0,
    kill: Callable[[int], None] = signal.raise_signal,
    device: str = "cpu",
    **changes: Any,
) -> dict[str, Tensor]:
    """Three batches an epoch, read by one worker; returns the checkpoint's weights."""
    torch.manual_seed(0)
    detector = harness.build(SUITE, "tinydet_s", overrides=["detectors.tinydet_s.input.size=128"])
    given = {"steps": STEPS, "batch_size": 2, "workers": 1, "log_every": 2, "augment": "paper"}
    settings = Train.model_validate(
        given | {"optimizer": {"name": "adamw", "lr": 1e-3}, "schedule": {"warmup_steps": 2}}
    )
    settings = Train.model_validate(settings.model_dump() | changes)

    def watch(progress: Progress) -> None:
        if progress.step == stop:
            kill(signal.SIGTERM)

    train(
        detector,
        lambda rank, world: train_loader(split, detector.resize, settings, 0),
        settings,
        seed=0,
        folder=folder,
        device=device,
        resume=(folder / "state.pt").exists(),
        on_progress=watch,
    )
    return dict(read_checkpoint(folder / "checkpoint.pt").state)


@pytest.fixture(scope="module")
def whole(split: Split, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The weights of a training that nobody interrupts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    weights = run(split, tmp_path_factory.mktemp("whole"))
    torch.set_num_threads(threads)
    return weights


def test_resumed_within_an_epoch_equals_uninterrupted(
    split: Split, whole: dict[str, Tensor], tmp_path: Path
) -> None:
    with pytest.raises(Interrupted, match=f"at step {STOP} of {STEPS}"):
        run(split, tmp_path / "cut", stop=STOP)
    resumed = run(split, tmp_path / "cut")
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    assert [line["step"] for line in read_json_lines(tmp_path / "cut" / "train_log.jsonl")] == [
        2,
        4,
        6,
    ]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_cuda_trains_stops_and_resumes(split: Split, tmp_path: Path, precision: str) -> None:
    how: dict[str, Any] = {"device": "cuda", "precision": precision, "ema_decay": 0.9}
    before = harness.build(SUITE, "tinydet_s").state_dict()
    with pytest.raises(Interrupted):
        run(split, tmp_path, stop=STOP, **how)
    after = run(split, tmp_path, **how)
    assert all(torch.isfinite(value).all() for value in after.values())
    assert not torch.equal(after["bbox_head.fc_cls.weight"], before["bbox_head.fc_cls.weight"])
    assert [line["step"] for line in read_json_lines(tmp_path / "train_log.jsonl")] == [2, 4, 6]


def test_a_signal_that_kills_the_workers_too_loses_nothing(
    split: Split, whole: dict[str, Tensor], tmp_path: Path
) -> None:
    """SIGTERM to the whole process group, as a scheduler sends it."""
    command = [sys.executable, __file__, str(split.images.parent), str(tmp_path / "cut")]
    stopped = warm_processes.run(command, start_new_session=True, timeout=300)
    assert stopped.returncode == 128 + signal.SIGTERM
    resumed = run(split, tmp_path / "cut")
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


def stop_with_the_group(root: Path, folder: Path) -> int:
    """What the test above runs as a process that leads a group of its own."""
    torch.set_num_threads(1)
    split = CocoFolder(root).split("train")
    try:
        run(split, folder, stop=STOP, kill=lambda signum: os.killpg(0, signum))
    except Interrupted as stopped:
        return stopped.exit_code
    return 1


if __name__ == "__main__":
    sys.exit(stop_with_the_group(Path(sys.argv[1]), Path(sys.argv[2])))
