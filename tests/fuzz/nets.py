"""Nets as data that hypothesis can shrink, and the modules that run them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tests.fuzz.rows import Row
from tests.support import draw

CLASSES = 3
LARGEST_ID = 9


@dataclass(frozen=True)
class Port:
    """One input: "f" normal numbers, "i" ids up to LARGEST_ID; its shape without the batch."""

    kind: str
    shape: tuple[int, ...]

    def sample(self, batch: int, seed: int) -> Tensor:
        if self.kind == "f":
            return draw(batch, *self.shape, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(0, LARGEST_ID + 1, (batch, *self.shape), generator=generator)


class Step(NamedTuple):
    """One op on earlier values: inputs first, then the steps' results."""

    row: Row
    operands: tuple[int, ...]
    options: Mapping[str, object]

    def __repr__(self) -> str:
        options = "".join(f", {k}={v!r}" for k, v in self.options.items())
        return f"{self.row.name!r}({', '.join(map(str, self.operands))}{options})"


@dataclass(frozen=True)
class Net:
    """Inputs and steps. The output is a linear head on every number that no step reads."""

    ports: tuple[Port, ...]
    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        ports = ", ".join(f"{p.kind}{list(p.shape)}" for p in self.ports)
        return f"Net({ports}: {'; '.join(map(repr, self.steps))})"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(step.row.name for step in self.steps)

    @property
    def draws(self) -> bool:
        return any(step.row.draws for step in self.steps)

    @property
    def coarse(self) -> bool:
        return any(step.row.coarse for step in self.steps)

    def inputs(self, batch: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
        return tuple(port.sample(batch, seed + i) for i, port in enumerate(self.ports))

    def unread(self) -> tuple[int, ...]:
        """The places of values that no step reads."""
        read = {i for step in self.steps for i in step.operands}
        return tuple(i for i in range(len(self.ports) + len(self.steps)) if i not in read)


def weight_seed(at: int) -> int:
    """The seed of a step's weights."""
    return 100 * (at + 1)


class StepModule(nn.Module):
    """One step with its weights."""

    def __init__(self, step: Step, operands: Sequence[Tensor], seed: int) -> None:
        super().__init__()
        self.row, self.options = step.row, dict(step.options)
        shapes = step.row.weights(*operands, **step.options)
        drawn = (0.5 * draw(*shape, seed=seed + i) for i, shape in enumerate(shapes))
        self.weights = nn.ParameterList(drawn)

    def forward(self, *operands: Tensor) -> Tensor:
        return self.row.run(*operands, *self.weights, **self.options)


Tap = Callable[[Tensor], Tensor]


class NetModule(nn.Module):
    """Runs a net. Built on example values: weights take their sizes from them."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.steps, self.heads = nn.ModuleList(), nn.ModuleDict()
        values = list(clone(net.inputs()))
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for i, step in enumerate(net.steps):
                operands = [values[j] for j in step.operands]
                self.steps.append(StepModule(step, operands, seed=weight_seed(i)))
                values.append(self.steps[-1](*operands))
        self.floats = [value.is_floating_point() for value in values[len(net.ports) :]]
        for i in net.unread():
            if values[i].dtype == torch.float64:
                head = nn.Linear(values[i][0].numel(), CLASSES).double()
                with torch.no_grad():
                    head.weight.copy_(0.5 * draw(*head.weight.shape, seed=7 + i))
                    head.bias.copy_(0.5 * draw(CLASSES, seed=8 + i))
                self.heads[str(i)] = head
        self.eval()

    def run(self, *inputs: Tensor, tap: Tap | None = None) -> Tensor:
        """The output. `tap` sees and may replace each number that integers alone turn into."""
        values = list(inputs)
        number = [v.is_floating_point() for v in values]
        for step, module in zip(self.net.steps, self.steps, strict=True):
            result = module(*(values[i] for i in step.operands))
            number.append(any(number[i] for i in step.operands))
            if tap is not None and not number[-1] and result.is_floating_point():
                result, number[-1] = tap(result), True
            values.append(result)
        return sum(head(flat(values[int(i)])) for i, head in self.heads.items())


def flat(value: Tensor) -> Tensor:
    """(batch, entries per sample)."""
    return value.flatten(1) if value.dim() > 1 else value[:, None]


class One(NetModule):
    def forward(self, a: Tensor) -> Tensor:
        return self.run(a)


class Two(NetModule):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.run(a, b)


class Three(NetModule):
    def forward(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return self.run(a, b, c)


def build(net: Net) -> NetModule:
    """The module of a net; the same net gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (One, Two, Three)[len(net.ports) - 1](net)


def clone(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Inputs that a model may write to."""
    return tuple(x.clone() for x in inputs)


def own_output(model: NetModule, inputs: Sequence[Tensor]) -> Tensor:
    """What the model itself says; inputs stay."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return model(*clone(inputs))
