"""Read and call an op by the argument names of its schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx.node import Target

# An op's arguments by the names of its schema: tensors, numbers, lists, dtypes, nodes.
Arguments = Mapping[str, Any]


class Operand(NamedTuple):
    """A tensor argument: its name in the op's schema, its place if the argument is a list."""

    name: str
    index: int | None = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.name if self.index is None else f"{self.name}[{self.index}]"


def schema_of(target: object) -> torch.FunctionSchema | None:
    """Return an op's schema; None if it is no overload of an op."""
    schema: torch.FunctionSchema | None = getattr(target, "_schema", None)
    return schema


def declared_arguments(target: object) -> Sequence[torch.Argument]:
    """Return the arguments that an op's schema declares; raise TypeError if it has no schema."""
    schema = schema_of(target)
    if schema is None:
        raise TypeError(f"{target} is no overload of an op: it has no schema")
    return schema.arguments


def bind(target: Target, args: Sequence[object], kwargs: Arguments) -> dict[str, Any]:
    """Return the arguments by schema name, defaults filled in."""
    schema = declared_arguments(target)
    bound = {a.name: a.default_value for a in schema if a.has_default_value()}
    bound |= {a.name: v for a, v in zip(schema, args, strict=False)}
    return bound | dict(kwargs)


def invoke(target: Target, arguments: Arguments) -> Any:
    """Call an op with arguments by schema name."""
    assert callable(target)
    schema = declared_arguments(target)
    positional = [a.name for a in schema if not a.kwarg_only]
    named = [a.name for a in schema if a.kwarg_only]
    return target(*(arguments[n] for n in positional), **{n: arguments[n] for n in named})


def operands_of(
    names: tuple[str, ...], arguments: Arguments, kind: type = Tensor
) -> tuple[Operand, ...]:
    """Return every tensor among the named arguments, those in lists one by one."""
    found: list[Operand] = []
    for name in names:
        argument = arguments.get(name)
        if isinstance(argument, (list, tuple)):
            found += [Operand(name, i) for i, a in enumerate(argument) if isinstance(a, kind)]
        elif isinstance(argument, kind):
            found.append(Operand(name))
    return tuple(found)


def names_of(operands: Iterable[Operand]) -> frozenset[str]:
    """Return the names of operands, those of list arguments twice: `tensors` and `tensors[0]`."""
    return frozenset(name for o in operands for name in (o.name, str(o)))


def pick(arguments: Arguments, operand: Operand) -> Any:
    """Return the argument that an operand stands for."""
    argument = arguments[operand.name]
    return argument if operand.index is None else argument[operand.index]


def substitute(arguments: Arguments, new: Mapping[Operand, object]) -> dict[str, Any]:
    """Return the same arguments with some operands exchanged."""
    result = dict(arguments)
    for operand, value in new.items():
        if operand.index is None:
            result[operand.name] = value
        else:
            items = list(result[operand.name])
            items[operand.index] = value
            result[operand.name] = items
    return result
