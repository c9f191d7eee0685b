"""One call of one op, as a rule sees it while it is traced. Reading a value makes a promise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from .form import Form
from .op import Coefficients, Op

OpT = TypeVar("OpT", bound=Op)


class Operand(NamedTuple):
    """A tensor argument: its name in the op's schema, its place if the argument is a list."""

    name: str
    index: int | None = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.name if self.index is None else f"{self.name}[{self.index}]"


def bind(target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by schema name, defaults filled in."""
    schema = target._schema.arguments
    bound = {a.name: a.default_value for a in schema if a.has_default_value()}
    bound |= {a.name: v for a, v in zip(schema, args, strict=False)}
    return bound | dict(kwargs)


def invoke(target: Any, arguments: Mapping[str, Any]) -> Any:
    """Calls an op with arguments by schema name."""
    positional = [a.name for a in target._schema.arguments if not a.kwarg_only]
    named = [a.name for a in target._schema.arguments if a.kwarg_only]
    return target(*(arguments[n] for n in positional), **{n: arguments[n] for n in named})


def operands_of(
    names: tuple[str, ...], arguments: Mapping[str, Any], kind: type = Tensor
) -> tuple[Operand, ...]:
    """Every tensor among the named arguments, list arguments spelled out."""
    found: list[Operand] = []
    for name in names:
        argument = arguments.get(name)
        if isinstance(argument, (list, tuple)):
            found += [Operand(name, i) for i, a in enumerate(argument) if isinstance(a, kind)]
        elif isinstance(argument, kind):
            found.append(Operand(name))
    return tuple(found)


def names_of(operands: Iterable[Operand]) -> frozenset[str]:
    """What a record's condition is told of the live operands: `weight`; `tensors`, `tensors[0]`."""
    return frozenset(name for o in operands for name in (o.name, str(o)))


def pick(arguments: Mapping[str, Any], operand: Operand) -> Any:
    """The argument that an operand stands for."""
    argument = arguments[operand.name]
    return argument if operand.index is None else argument[operand.index]


def substitute(arguments: Mapping[str, Any], new: Mapping[Operand, Any]) -> dict[str, Any]:
    """The same arguments with some operands exchanged."""
    result = dict(arguments)
    for operand, value in new.items():
        if operand.index is None:
            result[operand.name] = value
        else:
            items = list(result[operand.name])
            items[operand.index] = value
            result[operand.name] = items
    return result


@dataclass
class Call(Generic[OpT]):
    """One call: `call["weight"]` is an argument, `call.out` the result, `call.live` the operands
    that carry relevance here.

    `primal` holds the op's result where a rule had to compute it again; the engine then lets
    forward pass and rule share that one computation. `form` says what arrived: coefficients, or
    relevance itself. `never_negative`: the live operands known to have no entry below zero.
    """

    op: OpT
    arguments: Mapping[str, Any]
    live: tuple[Operand, ...]
    out: Any
    primal: Any = field(default=None)
    form: Form = Form.COEFFICIENT
    never_negative: frozenset[Operand] = frozenset()

    def with_form(self, form: Form) -> Call[OpT]:
        """The same call, for a flow of another form."""
        return replace(self, form=form)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def operand(self, operand: Operand) -> Tensor:
        """The value of an operand."""
        return pick(self.arguments, operand)

    def is_live(self, name: str) -> bool:
        """Whether the named argument carries relevance."""
        return any(operand.name == name for operand in self.live)

    def only(self, coefficient: Tensor) -> Coefficients:
        """The coefficients of a call with one live operand."""
        (_,) = self.live
        return (coefficient,)

    def run(self, /, **changed: Any) -> Any:
        """The op itself, some arguments changed."""
        return invoke(self.op.target, {**self.arguments, **changed})

    def at_zero(self) -> Any:
        """The op with every live operand set to zero: what its constants alone give."""
        zeros = {o: torch.zeros_like(self.operand(o)) for o in self.live}
        return invoke(self.op.target, substitute(self.arguments, zeros))

    def vjp(self, c: Any) -> tuple[Tensor, ...]:
        """(d op / d operand)^T c for each live operand, by torch's own derivative.

        `c` has one entry per result; None where no relevance arrives.
        """
        with torch.enable_grad():
            live = {o: self.operand(o).detach().requires_grad_() for o in self.live}
            result = invoke(self.op.target, substitute(self.arguments, live))
            outs, seeds = _matched(result, c)
            grads = torch.autograd.grad(outs, list(live.values()), seeds, materialize_grads=True)
        self.primal = result
        return tuple(grads)


def _matched(result: Any, c: Any) -> tuple[list[Tensor], list[Tensor]]:
    """The results that relevance arrives at, with their coefficients."""
    if isinstance(result, Tensor):
        return [result], [c]
    pairs = [(r, k) for r, k in zip(result, c, strict=True) if k is not None]
    return [r for r, _ in pairs], [k for _, k in pairs]


Propagate = Callable[..., Coefficients]
