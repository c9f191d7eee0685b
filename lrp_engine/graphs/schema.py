"""Read and call an op by the argument names of its schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor


class Operand(NamedTuple):
    """A tensor argument: its name in the op's schema, its place if the argument is a list."""

    name: str
    index: int | None = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.name if self.index is None else f"{self.name}[{self.index}]"


def bind(target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by schema name, defaults filled in."""
    schema = target._schema.arguments
    bound = {a.name: a.default_value for a in schema if a.has_default_value()}
    bound |= {a.name: v for a, v in zip(schema, args, strict=False)}
    return bound | dict(kwargs)


def invoke(target: Any, arguments: Mapping[str, Any]) -> Any:
    """Call an op with arguments by schema name."""
    positional = [a.name for a in target._schema.arguments if not a.kwarg_only]
    named = [a.name for a in target._schema.arguments if a.kwarg_only]
    return target(*(arguments[n] for n in positional), **{n: arguments[n] for n in named})


def operands_of(
    names: tuple[str, ...], arguments: Mapping[str, Any], kind: type = Tensor
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


def pick(arguments: Mapping[str, Any], operand: Operand) -> Any:
    """Return the argument that an operand stands for."""
    argument = arguments[operand.name]
    return argument if operand.index is None else argument[operand.index]


def substitute(arguments: Mapping[str, Any], new: Mapping[Operand, Any]) -> dict[str, Any]:
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
