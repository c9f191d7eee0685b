"""Random programs of tensor ops, as data that hypothesis can shrink, and a module to run them."""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests.support import draw

SHAPE = (2, 3, 4)
SCALE, MATRIX, HEAD = draw(4, seed=11), draw(4, 4, seed=12), draw(4, 5, seed=13)
ORDER = torch.tensor([2, 0, 0, 3])

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": torch.neg,
    "scaled": lambda a: a * SCALE,
    "shifted": lambda a: a + SCALE,
    "matmul": lambda a: a @ MATRIX,
    "linear": lambda a: F.linear(a, MATRIX, SCALE),
    "relu": torch.relu,
    "in place": lambda a: a.clone().relu_().mul_(2),
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "hand-written silu": lambda a: a * torch.sigmoid(a),
    "hand-written gelu": lambda a: 0.5 * a * (1 + torch.erf(a / 2**0.5)),
    "layer norm": lambda a: F.layer_norm(a, (4,), SCALE),
    "hand-written norm": lambda a: a * torch.rsqrt(a.pow(2).mean(-1, keepdim=True) + 0.1),
    "slice and pad": lambda a: F.pad(a[..., 1:], (0, 1)),
    "turn": lambda a: a.transpose(1, 2).reshape(2, 3, 4),
    "halves": lambda a: torch.cat(a.chunk(2, -1)[::-1], -1),
    "index": lambda a: a[..., ORDER],
    "max": lambda a: a.amax(1, keepdim=True).expand(SHAPE),
    "pool": lambda a: F.max_pool1d(a, 3, stride=1, padding=1),
    "mean": lambda a: a.mean(-1, keepdim=True).expand(SHAPE),
    "sum": lambda a: a.sum(1, keepdim=True).expand(SHAPE),
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": lambda a, b: torch.sub(a, b, alpha=2),
    "mul": torch.mul,
    "gated": lambda a, b: F.silu(a) * b,
    "over": lambda a, b: a / (1 + b * b),
    "matmuls": lambda a, b: a @ b.transpose(1, 2) @ b,
    "cat": lambda a, b: torch.cat([a[..., :2], b[..., 2:]], -1),
    "stack": lambda a, b: torch.stack([a, b]).sum(0),
    "maximum": torch.maximum,
    "where": lambda a, b: torch.where(a > b, a, b),
}


class Step(NamedTuple):
    """One op on earlier values; value 0 and 1 are the inputs, value i + 2 is step i's."""

    op: str
    operands: tuple[int, ...]


@st.composite
def programs(draw_from: st.DrawFn) -> tuple[Step, ...]:
    """Up to ten steps; later values and repeated use are as likely as early ones."""
    steps: list[Step] = []
    for i in range(draw_from(st.integers(1, 10))):
        op = draw_from(st.sampled_from([*UNARY, *BINARY]))
        count = 1 if op in UNARY else 2
        places = st.integers(max(0, i - 2), i + 1) | st.integers(0, i + 1)
        steps.append(Step(op, tuple(draw_from(places) for _ in range(count))))
    return tuple(steps)


class Program(nn.Module):
    """Runs steps in a given order; the result is a head on the last value of the program."""

    def __init__(self, steps: Sequence[Step], order: Sequence[int] | None = None) -> None:
        super().__init__()
        self.steps, self.order = steps, range(len(steps)) if order is None else order
        self.eval()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        values = {0: x, 1: y}
        for i in self.order:
            op, operands = self.steps[i]
            function = UNARY.get(op) or BINARY[op]
            values[i + 2] = function(*(values[j] for j in operands))
        return values[len(self.steps) + 1].mean(1) @ HEAD


class Renamed(nn.Module):
    """The same program deeper down, under other names."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.layers = nn.ModuleList([program])
        self.eval()

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.layers[0](x=left, y=right)


def another_order(steps: Sequence[Step], seed: int) -> list[int]:
    """The same steps in another order in which every operand still comes first."""
    choose, done, order = random.Random(seed), {0, 1}, []
    while len(order) < len(steps):
        ready = [i for i, s in enumerate(steps) if i + 2 not in done and done.issuperset(s[1])]
        order.append(choose.choice(ready))
        done.add(order[-1] + 2)
    return order
