"""Define one call of one op, as a rule sees it while it is traced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor
from torch.fx.node import Target

from ..graphs.precision import change
from ..graphs.schema import Arguments, Operand, invoke, pick, substitute


class Form(Enum):
    """The coefficient c, or the relevance R = a * c itself.

    A rule that takes EITHER is told by `call.form` what arrived; one that gives EITHER gives back
    the form that it was given. PROPORTIONAL: it takes EITHER where entries of the result are
    multiples of those of the one live operand, so that relevance stays what it is, and else the
    coefficient.
    """

    COEFFICIENT = "coefficient"
    RELEVANCE = "relevance"
    EITHER = "either"
    PROPORTIONAL = "either, where the result is proportional to one operand"


Coefficients = tuple[Tensor | None, ...]
Passed = tuple[Tensor, ...]
# What arrives at an op: one flow, or one for each of several results.
Arriving = Tensor | Sequence[Tensor | None]


class HasTarget(Protocol):
    """An op record, as far as a call needs it."""

    @property
    def target(self) -> Target:
        """Return the ATen op."""


OpT = TypeVar("OpT", bound=HasTarget)


@dataclass
class Call(Generic[OpT]):
    """One call of one op.

    `call["weight"]` is an argument, `call.out` the result, `call.live` the operands that carry
    relevance here. Reading a value makes a promise: the engine keeps it or computes it again.
    `primal` holds the op's result where a rule had to compute it again; the engine then lets
    forward pass and rule share that one computation. `form` says what arrived: coefficients, or
    relevance itself. `never_negative`: the live operands known to have no entry below zero.
    `reference` is the same call in the run that this one is compared with, for rules of two runs.
    """

    op: OpT
    arguments: Arguments
    live: tuple[Operand, ...]
    out: Any
    primal: object = None
    form: Form = Form.COEFFICIENT
    never_negative: frozenset[Operand] = frozenset()
    reference: Call[OpT] | None = None

    @property
    def base(self) -> Call[OpT]:
        """The same call in the reference run; ValueError if there is one run only."""
        if self.reference is None:
            raise ValueError("this rule compares two runs, and the call has one")
        return self.reference

    def with_form(self, form: Form) -> Call[OpT]:
        """Return the same call for a flow of another form."""
        return replace(self, form=form)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def operand(self, operand: Operand) -> Tensor:
        """Return the value of an operand."""
        value: Tensor = pick(self.arguments, operand)
        return value

    def amount(self, operand: Operand) -> Tensor:
        """Return what a coefficient of the operand is multiplied by: its value, or its change."""
        value = self.operand(operand)
        return value if self.reference is None else change(value, self.reference.operand(operand))

    def amounts_out(self) -> tuple[Tensor, ...]:
        """Return what coefficients of the results are multiplied by: values, or changes."""
        outs = self.out if isinstance(self.out, tuple) else (self.out,)
        if self.reference is None:
            return outs
        base = self.reference.out
        bases = base if isinstance(base, tuple) else (base,)
        return tuple(change(b, a) for b, a in zip(outs, bases, strict=True))

    def is_live(self, name: str) -> bool:
        """Return whether the named argument carries relevance."""
        return any(operand.name == name for operand in self.live)

    def only(self, coefficient: Tensor) -> Coefficients:
        """Return the coefficients of a call with one live operand."""
        (_,) = self.live
        return (coefficient,)

    def run(self, /, **changed: object) -> Any:
        """Run the op with some arguments changed."""
        return invoke(self.op.target, {**self.arguments, **changed})

    def at_zero(self) -> Any:
        """Run the op with every live operand set to zero: what its constants alone give."""
        zeros = {o: torch.zeros_like(self.operand(o)) for o in self.live}
        return invoke(self.op.target, substitute(self.arguments, zeros))

    def vjp(self, c: Arriving) -> tuple[Tensor, ...]:
        """Return (d op / d operand)^T c for each live operand, by torch's own derivative.

        Args:
            c: What arrives, of the result's shape; one entry per result if there are several, None
                where no relevance arrives.

        Returns:
            One coefficient per live operand, of the operand's shape.
        """
        with torch.enable_grad():
            live = {o: self.operand(o).detach().requires_grad_() for o in self.live}
            result = invoke(self.op.target, substitute(self.arguments, live))
            outs, seeds = _matched(result, c)
            grads = torch.autograd.grad(outs, list(live.values()), seeds, materialize_grads=True)
        self.primal = result
        return tuple(grads)


def at_result(c: Arriving) -> Tensor:
    """Return what arrived at the first result, of an op that returns statistics beside it.

    Raises ValueError if relevance arrived at those.
    """
    if isinstance(c, Tensor):
        return c
    first, *statistics = c
    if first is None or any(part is not None for part in statistics):
        raise ValueError("relevance arrived at the statistics that the op returns, not its result")
    return first


def _matched(result: Tensor | Sequence[Tensor], c: Arriving) -> tuple[list[Tensor], list[Tensor]]:
    """Return the results that relevance arrives at, with their coefficients."""
    if isinstance(result, Tensor):
        assert isinstance(c, Tensor)
        return [result], [c]
    pairs = [(r, k) for r, k in zip(result, c, strict=True) if k is not None]
    return [r for r, _ in pairs], [k for _, k in pairs]
