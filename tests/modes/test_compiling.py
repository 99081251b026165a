"""Any number of compiled functions in one process, whole or in pieces, as many as it takes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from harness.data.batch import Inputs
from harness.modes.compiling import Compiled

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


def break_apart() -> None:
    """As a function of a library does, which is nobody's method."""
    torch._dynamo.graph_break()


class Library(Within):
    def scaled(self, pixels: Tensor) -> Tensor:
        break_apart()
        return super().scaled(pixels)


@pytest.mark.parametrize("kind", [Whole, Pieces, Within, Library])
@torch.no_grad()
def test_any_number_of_runners_is_compiled(kind: type[Whole]) -> None:
    """The last as the first: none is left to run uncompiled."""
    made, graphs = [], []
    for number in range(MANY):
        module, backend = kind(float(number)), Counting()
        compiled = Compiled(run(module), CPU, backend)
        assert torch.equal(compiled(inputs_of()), torch.full((1, 3, 4, 4), float(number)))
        made.append(compiled)
        graphs.append(backend.graphs)
    assert len(set(graphs)) == 1
    assert (graphs[0] == 1) == (kind is Whole)
    assert len({c.breaks for c in made}) == 1
    assert (made[0].breaks == 0) == (kind is Whole)
    assert all(c.seconds > 0 for c in made)
    for number, compiled in enumerate(made):
        assert compiled(inputs_of())[0, 0, 0, 0] == number


@torch.no_grad()
def test_any_number_of_shapes_is_compiled_each_once() -> None:
    module, backend = Whole(3.0), Counting()
    compiled = Compiled(run(module), CPU, backend)
    for _ in range(2):
        for width in range(1, MANY):
            assert compiled(inputs_of(width)).shape == (1, 3, 4, width)
    assert backend.graphs == MANY - 1
