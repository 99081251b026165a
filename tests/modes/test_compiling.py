"""Any number of compiled functions in one process, whole or in pieces, each with its own limit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.exc import FailOnRecompileLimitHit

from harness.data.batch import Inputs
from harness.errors import CellError
from harness.modes import compiling
from harness.modes.compiling import Compiled, separate, separate_methods

CPU = torch.device("cpu")
MANY = 20  # torch gives up on a code object that it compiled 8 times


class Whole(nn.Module):
    """Scales by a weight of its own."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, inputs: Inputs) -> Tensor:
        return self.scaled(inputs.pixels)

    def scaled(self, pixels: Tensor) -> Tensor:
        return pixels * self.weight


class Pieces(Whole):
    """The same with a break in each method."""

    def forward(self, inputs: Inputs) -> Tensor:
        torch._dynamo.graph_break()
        return self.scaled(inputs.pixels) + 0

    def scaled(self, pixels: Tensor) -> Tensor:
        half = pixels * self.weight
        torch._dynamo.graph_break()
        return half * 1


class Within(Whole):
    """Breaks in a module that it calls."""

    def __init__(self, weight: float) -> None:
        super().__init__(1.0)
        self.inner = nn.Sequential(Broken(weight), nn.Identity())

    def scaled(self, pixels: Tensor) -> Tensor:
        return self.inner(pixels + 0) + 0


class Broken(Whole):
    def forward(self, pixels: Tensor) -> Tensor:  # type: ignore[override]
        half = pixels * self.weight
        torch._dynamo.graph_break()
        return half + 0


def run(module: nn.Module) -> Callable[[Inputs], Tensor]:
    """Looks the methods up at each call and closes over another function, as a runner does."""

    def forward(inputs: Inputs) -> Tensor:
        return module.forward(inputs)

    return lambda inputs: forward(inputs)


class Counting:
    """A backend that runs graphs as they are and counts them."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, examples: object) -> object:
        self.graphs += 1
        return graph.forward


def inputs_of(width: int = 4) -> Inputs:
    two = torch.ones(1, 2)
    return Inputs(torch.ones(1, 3, 4, width), two, two, two)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Whole, Pieces, Within])
@torch.no_grad()
def test_any_number_of_runners_is_compiled(kind: type[Whole]) -> None:
    """The last as the first: none is left to run as it is, which would be told by no graph."""
    made, graphs = [], []
    for number in range(MANY):
        module, backend = kind(float(number)), Counting()
        compiled = Compiled(run(module), module, CPU, backend)
        assert torch.equal(compiled(inputs_of()), torch.full((1, 3, 4, 4), float(number)))
        made.append(compiled)
        graphs.append(backend.graphs)
    assert set(graphs) == {1} if kind is Whole else graphs[-1] == graphs[0] > 1
    assert {c.breaks == 0 for c in made} == {kind is Whole}
    assert all(c.seconds > 0 for c in made)
    for number, compiled in enumerate(made):
        assert compiled(inputs_of())[0, 0, 0, 0] == number


class Stem(nn.Module):
    """A strided convolution and its norm, as every backbone begins."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.Hardswish()
        ).eval()

    def forward(self, inputs: Inputs) -> Tensor:
        scaled: Tensor = self.layers(inputs.pixels)
        return scaled


class BrokenStem(Stem):
    """The same in two pieces."""

    def forward(self, inputs: Inputs) -> Tensor:
        pixels = inputs.pixels * 2
        torch._dynamo.graph_break()
        scaled: Tensor = self.layers(pixels)
        return scaled


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Stem, pytest.param(BrokenStem, marks=pytest.mark.newest)])
@torch.no_grad()
def test_compiled_kernels_compute_the_same_each_with_its_own_weights(kind: type[Stem]) -> None:
    """The same code, other weights: a cache keyed on code alone would mix them up."""
    images = torch.rand(3, 3, 32, 32)
    for seed, counts in enumerate([(1,), (1, 3)]):
        module = kind(seed)
        compiled = Compiled(run(module), module, CPU)
        for count in counts:
            inputs = Inputs(images[:count], *(torch.ones(count, 2) for _ in range(3)))
            torch.testing.assert_close(compiled(inputs), module(inputs), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_any_number_of_shapes_is_compiled_each_once() -> None:
    module, backend = Whole(3.0), Counting()
    compiled = Compiled(run(module), module, CPU, backend)
    for _ in range(2):
        for width in range(1, MANY):
            assert compiled(inputs_of(width)).shape == (1, 3, 4, width)
    assert backend.graphs == MANY - 1


def test_a_limit_that_is_met_is_told_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object, **__: object) -> object:
        raise FailOnRecompileLimitHit("Hard failure due to fullgraph=True")

    monkeypatch.setattr(compiling.torch, "compile", lambda *_, **__: give_up)
    module = Whole(1.0)
    with pytest.raises(CellError, match="more often than its recompile limit"):
        Compiled(run(module), module, CPU)(inputs_of())


def test_separated_methods_are_the_same_but_for_their_code() -> None:
    module, other = Pieces(2.0), Pieces(2.0)
    separate_methods(module)
    separate_methods(other)
    assert isinstance(module, Pieces)
    assert type(module) is not type(other)
    codes = {m.scaled.__func__.__code__ for m in (module, other, Pieces(1.0))}  # type: ignore[attr-defined]
    assert len(codes) == 3
    assert list(module.state_dict()) == ["weight"]
    assert torch.equal(module(inputs_of()), other(inputs_of()))


def test_separated_functions_are_equal_to_none() -> None:
    function = run(Whole(2.0))
    ones: list[Any] = [separate(function) for _ in range(3)]
    assert len({f.__code__ for f in (function, *ones)}) == 4  # type: ignore[attr-defined]
    inner = [f.__closure__[0].cell_contents for f in ones]
    assert len({f.__code__ for f in inner}) == 3
    assert torch.equal(ones[0](inputs_of()), 2 * inputs_of().pixels)
