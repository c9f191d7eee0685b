"""Keep the op table: what each ONNX op is in torch.

An op is one short function with one decorator, in a file of its family in `ops/`:

    @op("Gelu", since=20)
    def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
        return F.gelu(x, approximate=approximate)

- Positional parameters are the node's inputs, in order; what has a default may be left out.
  `*xs: Tensor` takes any number. Keyword-only parameters are attributes. An attribute may also fill
  a positional parameter of its name, so that one entry serves the opsets before and after `axes`
  became an input. An attribute that no parameter takes is refused.
- The annotation says what an input has to be: `Tensor`; `Ints`, `int`, `float`, `bool`: known
  while tracing, as Python numbers (sizes may be symbolic); `HostArray`: known, as an array;
  `OnnxValue`: as it comes. `| None` for optional ones.
- `node: NodeContext` (keyword-only) gives the node's opset, its number of outputs, and runs
  subgraphs.
- `since` is the opset from which an entry holds; the newest one not after the file's opset is used.
  `domain` is "" for ai.onnx.
- Raise `Refused("why")` for what cannot be done; return NotImplemented to leave a case to the body
  that ONNX itself gives for the op.
- An op of shape chains has a host version beside it, from arrays to an array: `@host("Concat")`.
  It is used where every input is known and `Ints` are numbers; it may return NotImplemented.

Prefer ATen ops that have a record in `rules/`: relevance has to pass them.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from .steps import OnnxGraph
from .unsupported import Refused
from .values import (
    HostArray,
    Ints,
    OnnxValue,
    as_host,
    as_ints,
    as_number,
    as_tensor,
)

# Attributes that old files carry and that say nothing.
_IDLE_ATTRIBUTES = frozenset({"consumed_inputs"})


class NodeContext(Protocol):
    """The node that an entry serves, and what the entry may ask about it."""

    @property
    def opset(self) -> int:
        """The version of the op's domain in this file."""

    @property
    def name(self) -> str:
        """The node's name in the file."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs that are wanted; "" for one that is not."""

    def run(self, graph: OnnxGraph, inputs: Sequence[OnnxValue]) -> tuple[OnnxValue, ...]:
        """Run a subgraph, given as an attribute; names outside it are visible."""


def _same(value: OnnxValue) -> OnnxValue:
    return value


Convert = Callable[[OnnxValue], object]
EntryFunction = Callable[..., object]  # Tensor, list of them, HostArray, array or NotImplemented
Decorator = Callable[[EntryFunction], "tuple[OpEntry, ...]"]

_CONVERSIONS: dict[object, Convert] = {
    Tensor: as_tensor,
    HostArray: as_host,
    Ints: as_ints,
    int: as_number,
    float: as_number,
    bool: as_number,
    OnnxValue: _same,
}


@dataclass(frozen=True)
class OpParameter:
    """One parameter of an entry's function that takes an input; None for one left out, if open."""

    name: str
    convert: Convert
    variadic: bool
    open: bool = False


@dataclass(frozen=True)
class OpEntry:
    """One op written with torch, from one opset on."""

    name: str
    function: EntryFunction
    inputs: tuple[OpParameter, ...]
    attributes: frozenset[str]
    needs: frozenset[str]
    since: int = 1
    domain: str = ""
    on_host: bool = False
    wants_node: bool = False

    def __call__(
        self,
        node: NodeContext,
        inputs: tuple[OnnxValue | None, ...],
        attributes: Mapping[str, object],
    ) -> object:
        """Bind inputs and attributes to the function's parameters, and call it.

        Returns NotImplemented if the entry leaves this case to the body that ONNX gives.
        Raises Refused for what it cannot do.
        """
        bound, rest = self._bound(inputs)
        if self.on_host and any(map(_is_open, bound.values())):
            return NotImplemented
        for name, value in attributes.items():
            if name in self.attributes or (name in self._names() and name not in bound):
                bound[name] = value
            elif name not in _IDLE_ATTRIBUTES:
                raise Refused(f"attribute {name!r} is not supported")
        if missing := self.needs - set(bound):
            raise Refused(f"{', '.join(sorted(missing))} is missing")
        if self.wants_node:
            bound["node"] = node
        fixed = self.inputs[:-1] if self.inputs and self.inputs[-1].variadic else ()
        first = [bound.pop(p.name, None) for p in fixed]
        bound |= {
            p.name: None for p in self.inputs if p.open and p not in fixed and p.name not in bound
        }
        return self.function(*first, *rest, **bound)

    def _bound(
        self, inputs: tuple[OnnxValue | None, ...]
    ) -> tuple[dict[str, object], list[object]]:
        """Return inputs by parameter name, and those of a variadic parameter."""
        variadic = bool(self.inputs) and self.inputs[-1].variadic
        if len(inputs) > len(self.inputs) and not variadic:
            raise Refused(f"{len(inputs)} inputs, at most {len(self.inputs)} are supported")
        bound: dict[str, object] = {}
        rest: list[object] = []
        for i, value in enumerate(inputs):
            parameter = self.inputs[min(i, len(self.inputs) - 1)]
            given = None if value is None else parameter.convert(value)
            if parameter.variadic:
                rest.append(given)
            elif value is not None:
                bound[parameter.name] = given
        return bound, rest

    def _names(self) -> set[str]:
        return {p.name for p in self.inputs if not p.variadic}


def _is_open(given: object) -> bool:
    """Tell whether a place or a size is symbolic, so that the result has no fixed shape."""
    entries = given if isinstance(given, tuple) else (given,)
    return any(isinstance(entry, torch.SymInt) for entry in entries)


def op(*names: str, since: int = 1, domain: str = "") -> Decorator:
    """Declare a function as the entry of one op, or of several that are called alike."""
    return _decorator(names, since, domain, on_host=False)


def host(*names: str, since: int = 1, domain: str = "") -> Decorator:
    """Declare an entry like `op`, for inputs that are all known while tracing."""
    return _decorator(names, since, domain, on_host=True)


def _decorator(names: tuple[str, ...], since: int, domain: str, on_host: bool) -> Decorator:
    def entries(function: EntryFunction) -> tuple[OpEntry, ...]:
        return tuple(make_entry(name, function, since, domain, on_host) for name in names)

    return entries


def make_entry(
    name: str, function: EntryFunction, since: int = 1, domain: str = "", on_host: bool = False
) -> OpEntry:
    """Make the entry of an op from a function, by its signature."""
    hints = typing.get_type_hints(function)
    inputs, attributes, needs = [], set(), set()
    for parameter in inspect.signature(function).parameters.values():
        required = parameter.default is parameter.empty
        if parameter.kind is parameter.KEYWORD_ONLY:
            attributes.add(parameter.name)
        else:
            variadic = parameter.kind is parameter.VAR_POSITIONAL
            hint = hints[parameter.name]
            required = required and not variadic
            is_open = required and type(None) in typing.get_args(hint)
            required = required and not is_open
            inputs.append(OpParameter(parameter.name, _conversion(hint), variadic, is_open))
        if required and parameter.name != "node":
            needs.add(parameter.name)
    return OpEntry(
        name,
        function,
        tuple(inputs),
        frozenset(attributes - {"node"}),
        frozenset(needs),
        since,
        domain,
        on_host,
        "node" in attributes,
    )


def _conversion(hint: object) -> Convert:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [k for k in typing.get_args(hint) if k is not type(None)]
        hint = kinds[0] if len(kinds) == 1 else OnnxValue
    return _CONVERSIONS[hint]


@dataclass(frozen=True)
class OpTable:
    """The entries by (domain, op, on host), newest first."""

    entries: Mapping[tuple[str, str, bool], tuple[OpEntry, ...]]

    def find(self, domain: str, name: str, opset: int, *, on_host: bool = False) -> OpEntry | None:
        """Return the entry for an op at an opset; None if there is none."""
        found = self.entries.get((domain, name, on_host), ())
        return next((entry for entry in found if entry.since <= opset), None)


@cache
def load_op_table() -> OpTable:
    """Return the table of the entries in all modules of the `ops` package."""
    package = importlib.import_module(f"{__package__}.ops")
    found: dict[tuple[str, str, bool], list[OpEntry]] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
        for entry in _entries_of(importlib.import_module(f"{package.__name__}.{module}")):
            entries = found.setdefault((entry.domain, entry.name, entry.on_host), [])
            if any(other.since == entry.since for other in entries if other is not entry):
                raise ValueError(f"{entry.name} since {entry.since} is declared twice")
            entries.append(entry)
    ordered = {k: tuple(sorted(v, key=lambda e: -e.since)) for k, v in found.items()}
    return OpTable(types.MappingProxyType(ordered))


def _entries_of(module: types.ModuleType) -> list[OpEntry]:
    """Return a module's entries: attributes of it, alone or in tuples."""
    found: list[OpEntry] = []
    for value in vars(module).values():
        items = value if isinstance(value, tuple) else (value,)
        found += [i for i in items if isinstance(i, OpEntry) and not any(i is f for f in found)]
    return found
