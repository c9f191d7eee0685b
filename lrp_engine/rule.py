"""The Rule record, the one decorator that makes one, and the two stabilised helpers rules share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from .call import Propagate
from .op import Op


class Form(Enum):
    """What travels on a wire: the coefficient c, or the relevance R = a * c itself."""

    COEFFICIENT = "coefficient"
    RELEVANCE = "relevance"


Absorbs = Callable[..., Mapping[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Rule:
    """How relevance passes through the ops of one family.

    `propagate(call, c, **parameters)` returns one coefficient per live operand.
    `carries` narrows the operands that pass relevance on (None: all that the op declares).
    `absorbs` says what is not passed on: None (nothing: received = passed), a cause under
    which the whole remainder is booked, or a function that computes the amounts independently.
    """

    name: str
    family: str
    propagate: Propagate
    cites: str
    absorbs: Absorbs | str | None = None
    carries: Callable[[Op], tuple[str, ...]] | None = None
    takes: Form = Form.COEFFICIENT
    gives: Form = Form.COEFFICIENT
    stops: bool = False

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Parameter names and defaults."""
        found = list(inspect.signature(self.propagate).parameters.values())[2:]
        return {p.name: p.default for p in found}

    def operands(self, op: Op) -> tuple[str, ...]:
        """The op's arguments through which this rule passes relevance."""
        if self.stops:
            return ()
        return op.operands if self.carries is None else self.carries(op)


def rule(
    name: str,
    *,
    family: type[Op],
    cites: str,
    absorbs: Absorbs | str | None = None,
    carries: Callable[[Op], tuple[str, ...]] | None = None,
    takes: Form = Form.COEFFICIENT,
    gives: Form = Form.COEFFICIENT,
    stops: bool = False,
) -> Callable[[Propagate], Rule]:
    """Makes a function `(call, c, **parameters) -> coefficients` a Rule of one family."""

    def made(propagate: Propagate) -> Rule:
        return Rule(name, family.family, propagate, cites, absorbs, carries, takes, gives, stops)

    return made


def stabilise(z: Tensor, epsilon: float) -> Tensor:
    """z + epsilon * sign(z), with sign(0) = 1."""
    return torch.where(z < 0, z - epsilon, z + epsilon)


def booked(c: Tensor, a: Tensor) -> Tensor:
    """Sum of c * a in double precision; entries with c = 0 book 0 even where a is infinite."""
    wide = torch.promote_types(torch.promote_types(c.dtype, a.dtype), torch.float32)
    product = (c.to(wide) * a.to(wide)).masked_fill(c == 0, 0.0)
    return product.sum(dtype=torch.float64)
