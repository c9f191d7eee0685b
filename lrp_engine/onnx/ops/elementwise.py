"""Entry by entry, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..table import Entry, entry_of, op


def _unary(name: str, function: Callable[[Tensor], Tensor]) -> Entry:
    def apply(x: Tensor) -> Tensor:
        return function(x)

    return entry_of(name, apply)


UNARY = tuple(
    _unary(name, function)
    for name, function in {
        "Relu": torch.relu,
        "Sigmoid": torch.sigmoid,
        "Tanh": torch.tanh,
        "Sqrt": torch.sqrt,
        "Exp": torch.exp,
        "Neg": torch.neg,
        "Erf": torch.erf,
        "Identity": lambda x: x,
    }.items()
)


@op("Add")
def add(a: Tensor, b: Tensor) -> Tensor:
    return torch.add(a, b)


@op("Mul")
def mul(a: Tensor, b: Tensor) -> Tensor:
    return torch.mul(a, b)


@op("Gelu", since=20)
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    return F.gelu(x, approximate=approximate)
