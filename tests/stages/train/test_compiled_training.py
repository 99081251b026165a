"""`train.step: compiled`: the same training, by compiled kernels."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from toy_training import SEED, SIDE, ToyDetector, ToyLoader, toy_settings

from harness.data.batch import Inputs, Targets
from harness.stages.train.loop import train
from harness.stages.train.result import TrainResult

pytestmark = pytest.mark.slow


class PlainToy(ToyDetector):
    """Without the counter, for which each step would be compiled again."""

    def losses(self, inputs: Inputs, targets: Targets) -> dict[str, Tensor]:
        outputs = self.network(inputs)
        return {
            "loss_cls": F.cross_entropy(outputs[:, :3], targets.labels[:, 0]),
            "loss_box": F.l1_loss(outputs[:, 3:], targets.boxes[:, 0] / SIDE),
        }


def run(folder: Path, step: str) -> tuple[PlainToy, TrainResult]:
    detector, settings = PlainToy(norm=False, dropout=0), toy_settings(epochs=2, step=step)
    loader = ToyLoader(settings.batch_size)
    return detector, train(detector, lambda *_: loader, settings, seed=SEED, folder=folder)


def test_a_compiled_training_learns_the_same(tmp_path: Path) -> None:
    torch._dynamo.reset()
    plain, slow = run(tmp_path / "eager", "eager")
    compiled, fast = run(tmp_path / "compiled", "compiled")
    counted = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert counted >= 1
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], weight, rtol=1e-4, atol=1e-5)
    said = [
        next(m for m in r.measurements if m.metric == "train_images_per_second")
        for r in (slow, fast)
    ]
    assert [m.conditions["step"] for m in said] == ["eager", "compiled"]


def test_afterwards_the_detector_is_a_plain_module(tmp_path: Path) -> None:
    detector, _ = run(tmp_path, "compiled")
    assert detector._compiled_call_impl is None
    assert list(detector.state_dict()) == list(PlainToy(norm=False).state_dict())


@torch._dynamo.config.patch(recompile_limit=8)  # timm.optim sets a million when it is imported
def test_a_process_compiles_any_number_of_trainings(tmp_path: Path) -> None:
    """One more than torch keeps versions of a function: the last is compiled as the first was."""
    for number in range(9):
        before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        _, result = run(tmp_path / str(number), "compiled")
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > before
    (said,) = [m for m in result.measurements if m.metric == "train_images_per_second"]
    assert said.conditions["compile_seconds"] > 0


def test_compiling_shows_in_the_progress(tmp_path: Path) -> None:
    told: list[str] = []
    settings = toy_settings(epochs=1, step="compiled")
    train(
        PlainToy(norm=False, dropout=0),
        lambda *_: ToyLoader(settings.batch_size),
        settings,
        seed=SEED,
        folder=tmp_path,
        on_progress=lambda progress: told.append(progress.doing or str(progress.step)),
    )
    assert told[0] == "compiling"
    assert [line for line in told if line != "compiling"] == ["1", "2", "3", "4", "5"]
