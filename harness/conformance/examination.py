"""What must hold of a part of any kind."""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.conformance.cost import Cost, count_cost
from harness.conformance.graph_breaks import find_break
from harness.conformance.nonconforming import NonconformingError, Problems, StopChecksError
from harness.conformance.op_checks import op_misfits
from harness.conformance.trial import Given, Size, Trial
from harness.data.batch import Targets
from harness.errors import first_of
from harness.model.arithmetic import arithmetic
from harness.model.checkpoint import load_weights, read_checkpoint

# of the largest value: what another order of summation may change
TOLERANCE = 1e-4
SHOWN = 8  # names of weights in a message
BOXES = ((4.0, 4.0, 28.0, 28.0), (30.0, 20.0, 60.0, 50.0))


@dataclass(frozen=True)
class Verdict:
    """What an examination found.

    Attributes:
        what: the part, "backbone 'strided'".
        problems: empty where it passes.
        cost: of one image, None where it could not be counted.
        unchecked: why it was not tried out, "" where it was.
    """

    what: str
    problems: tuple[str, ...] = ()
    cost: Cost | None = None
    unchecked: str = ""

    @property
    def word(self) -> str:
        """It in a word or two."""
        if self.problems:
            return "wrong"
        return "not checked" if self.unchecked else "passes"

    @property
    def remark(self) -> str:
        """What else there is to say of it: its cost, or why it was not tried out."""
        return self.unchecked or (str(self.cost) if self.cost is not None else "")

    def require(self) -> None:
        """Raises NonconformingError where something is wrong."""
        if self.problems:
            raise NonconformingError(self.what, self.problems)


def examine(trial: Trial) -> Verdict:
    """Try a part out on a CPU; torch's random numbers are as before afterwards."""
    problems, cost = Problems(), None
    with torch.random.fork_rng(devices=[]), arithmetic("float32"):
        torch.manual_seed(0)
        with suppress(StopChecksError):
            _check_sizes(trial, problems)
            part = _build(trial, trial.sizes[-1], problems)
            for check in CHECKS:
                with suppress(StopChecksError):  # the others still have their turn
                    check(trial, part, problems)
            with problems.during("its cost cannot be counted"):
                cost = count_cost(trial, part, problems)
    return Verdict(str(trial), tuple(problems.found), cost)


def make_targets(*counts: int) -> Targets:
    """So many boxes in each image, in network pixels, of the classes 0 and 1."""
    most = max(counts)
    boxes, labels = torch.zeros(len(counts), most, 4), torch.zeros(len(counts), most).long()
    for image, count in enumerate(counts):
        boxes[image, :count] = torch.tensor(BOXES[:count]).reshape(-1, 4)
        labels[image, :count] = torch.arange(count)
    return Targets(boxes, labels, torch.tensor(counts), torch.arange(len(counts)))


def _build(trial: Trial, size: Size, problems: Problems) -> nn.Module:
    with problems.during(f"cannot be built for images of {size[0]}x{size[1]}"):
        part = trial.build(size)
        if not isinstance(part, nn.Module):
            problems.add(f"its factory returns {type(part).__name__}, not a torch.nn.Module")
            raise StopChecksError
    return part.eval()


def _draw(trial: Trial, images: int) -> Given:
    return trial.draw(trial.sizes[-1], images, torch.Generator().manual_seed(1))


@torch.no_grad()
def _run(trial: Trial, part: Any, given: Given) -> Mapping[str, Tensor]:
    return trial.run(part, given)


def _check_sizes(trial: Trial, problems: Problems) -> None:
    """Shapes are as declared and do not depend on content; values are finite."""
    for size in trial.sizes:
        part = _build(trial, size, problems)
        with problems.during(f"fails on images of {size[0]}x{size[1]}"):
            given = trial.draw(size, 2, torch.Generator().manual_seed(0))
            made, of_nothing = _run(trial, part, given), _run(trial, part, trial.blank(given))
            for problem in trial.misfits(part, size, made):
                problems.add(problem)
        for name, tensor in made.items():
            other = of_nothing.get(name)
            for values, of in ((tensor, "noise"), (other, "a blank image")):
                if values is not None and not values.isfinite().all():
                    problems.add(f"{name} is not finite for {of}")
            if other is None or other.shape != tensor.shape:
                shape = "missing" if other is None else tuple(other.shape)
                problems.add(
                    f"the shape of {name} depends on what is in the image: "
                    f"{tuple(tensor.shape)} for noise, {shape} for a blank one"
                )


def _check_images_stand_alone(trial: Trial, part: nn.Module, problems: Problems) -> None:
    """In evaluation mode what is made of an image does not depend on the others of its batch."""
    given = _draw(trial, 2)
    with problems.during("fails on a single image"):
        together = _run(trial, part, given)
        alone = [_run(trial, part, tuple(t[i : i + 1] for t in given)) for i in range(2)]
    for name, whole in together.items():
        rows = [one[name] for one in alone]
        if whole.ndim == 0 or len(whole) != sum(map(len, rows)):
            problems.add(
                f"{name} of two images has the shape {tuple(whole.shape)}, of one "
                f"{tuple(rows[0].shape)}: its first dimension is not the batch"
            )
            continue
        off = (torch.cat(rows).double() - whole.double()).abs().max() if whole.numel() else 0
        if off > TOLERANCE * max(float(whole.double().abs().max()), 1.0):
            problems.add(
                f"{name} of an image depends on the others of its batch: alone it differs by up to "
                f"{float(off):.3g}"
            )


def _check_compiles(trial: Trial, part: nn.Module, problems: Problems) -> None:
    given = _draw(trial, 2)
    with problems.during("fails under torch.compile"), torch.no_grad():
        found = find_break(lambda inputs: dict(trial.run(part, inputs)), given)
    if found is not None:
        problems.add(found)


def _check_ops(trial: Trial, part: nn.Module, problems: Problems) -> None:
    with problems.during("torch.library.opcheck cannot run its ops"):
        for problem in op_misfits(trial, part, _draw(trial, 2)):
            problems.add(problem)


def _check_learns(trial: Trial, part: nn.Module, problems: Problems) -> None:
    """Losses are finite, gradients reach all weights; losses compile, too."""
    part.train()
    try:
        _check_gradients(trial, part, problems)
        if trial.has_losses:
            _check_losses(trial, part, problems)
    finally:
        part.zero_grad(set_to_none=True)
        part.eval()


def _check_gradients(trial: Trial, part: nn.Module, problems: Problems) -> None:
    given = _draw(trial, 2)
    leaves = [tensor.requires_grad_() for tensor in trial.trained(given)]
    with problems.during("fails in training"):
        losses = trial.losses(part, given, make_targets(2, 1))
        total = sum(losses.values(), torch.zeros(()))
        if not total.requires_grad:
            problems.add("its losses have no gradient" if trial.has_losses else "has no gradient")
            return
        total.backward()  # type: ignore[no-untyped-call]
    _require_scalars(losses, "", problems)
    trained = {name: p for name, p in part.named_parameters() if p.requires_grad}
    unreached = [name for name, p in trained.items() if p.grad is None]
    if unreached:
        problems.add(f"no gradient reaches: {first_of(unreached, SHOWN)}")
    wild = [n for n, p in trained.items() if p.grad is not None and not p.grad.isfinite().all()]
    if wild:
        problems.add(f"gradients are not finite: {first_of(wild, SHOWN)}")
    if leaves and all(t.grad is None for t in leaves):
        problems.add("no gradient reaches its inputs, so nothing before it learns")


def _check_losses(trial: Trial, part: nn.Module, problems: Problems) -> None:
    given = _draw(trial, 2)
    for counts, of in (((0, 1), " of an image without boxes"), ((0, 0), " without any box")):
        with problems.during(f"its losses fail{of}"):
            _require_scalars(trial.losses(part, given, make_targets(*counts)), of, problems)
    targets = make_targets(2, 1)
    with problems.during("its losses fail under torch.compile"):
        found = find_break(lambda inputs: dict(trial.losses(part, inputs, targets)), given)
    if found is not None:
        problems.add(f"in its losses, {found}")


def _require_scalars(losses: Mapping[str, Tensor], of: str, problems: Problems) -> None:
    for name, value in losses.items():
        if value.ndim > 0:
            problems.add(f"the loss {name} has the shape {tuple(value.shape)}, not ()")
        elif not value.isfinite():
            problems.add(f"the loss {name}{of} is {float(value.detach())}")


def _check_round(trial: Trial, part: nn.Module, problems: Problems) -> None:
    """Weights written and read again make of another part the same one."""
    if not part.state_dict():
        return
    other, given = _build(trial, trial.sizes[-1], problems), _draw(trial, 2)
    with tempfile.TemporaryDirectory() as folder, problems.during("its checkpoint does not load"):
        path = Path(folder) / "part.pt"
        torch.save(part.state_dict(), path)
        report = load_weights(other, read_checkpoint(path))
        for line in report.lines():
            problems.add(f"a checkpoint does not load into a new instance: {line}")
        first, second = _run(trial, part, given), _run(trial, other, given)
    for name, tensor in first.items():
        if not torch.equal(tensor, second[name]):
            problems.add(f"{name} differs after a checkpoint round trip")


CHECKS = (_check_images_stand_alone, _check_compiles, _check_ops, _check_learns, _check_round)
