"""Write a straight-line graph as text, and read it back as a function.

An op that runs such a graph at every step takes it as one string: then the op's call is plain data,
as every other call is. It can be compared, pickled, packed and compiled around.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.fx.node import Argument, Target

_REFERENCE, _CONSTANT = "node", "torch"
_CONSTANTS = (torch.dtype, torch.layout, torch.memory_format)
# Of Python's own: what takes one result of several, and arithmetic on sizes.
_OPERATORS: Mapping[str, Callable[..., Any]] = {
    name: getattr(operator, name) for name in ("getitem", "add", "sub", "mul", "floordiv", "neg")
}
# The operands of a step may lie in memory otherwise than they did at the trace.
_FOR_ANY_LAYOUT: Mapping[OpOverload, OpOverload] = dict.fromkeys(
    (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default),
    torch.ops.aten.reshape.default,
)


def write_step(graph: fx.Graph) -> str:
    """Write a graph of ops on tensors as text: inputs, ops and results, in order.

    Args:
        graph: Placeholders, calls of ops, and an output of a flat sequence of nodes.

    Raises:
        TypeError: The graph holds what is neither an op nor a plain value.
    """
    numbers = {node: i for i, node in enumerate(n for n in graph.nodes if n.op != "output")}
    steps = []
    for node in numbers:
        if node.op == "call_function":
            args = [_plain(a, numbers) for a in node.args]
            kwargs = {k: _plain(a, numbers) for k, a in node.kwargs.items()}
            steps.append([_name(node.target), args, kwargs])
        elif node.op != "placeholder":
            raise TypeError(f"a step holds {node.op} {node.target}, which is no op on its operands")
    results = [_plain(a, numbers) for a in graph.output_node().args[0]]  # type: ignore[union-attr]
    inputs = len(numbers) - len(steps)
    return json.dumps([inputs, steps, results], separators=(",", ":"))


@lru_cache(maxsize=256)
def read_step(text: str) -> Callable[..., Sequence[Tensor]]:
    """Return the function that a text of `write_step` describes: tensors in, tensors out.

    Raises ValueError for a text that names what is no op of torch.
    """
    inputs, steps, results = json.loads(text)
    graph = fx.Graph()
    nodes: list[Argument] = [graph.placeholder(f"x{i}") for i in range(inputs)]
    for name, args, kwargs in steps:
        given = tuple(_filled(a, nodes) for a in args)
        named = {k: _filled(a, nodes) for k, a in kwargs.items()}
        nodes.append(graph.call_function(_find(name), given, named))
    graph.output(tuple(_filled(r, nodes) for r in results))
    return fx.GraphModule(torch.nn.Module(), graph).forward


def _name(target: Target) -> str:
    if isinstance(target, OpOverload):
        return str(target)
    name = getattr(target, "__name__", "")
    if _OPERATORS.get(name) is not target:
        raise TypeError(f"a step calls {target}, which is no op of torch")
    return name


def _find(name: str) -> Callable[..., Any]:
    if name in _OPERATORS:
        return _OPERATORS[name]
    library, _, rest = name.partition(".")
    op, _, overload = rest.rpartition(".")
    found = getattr(getattr(getattr(torch.ops, library), op, None), overload, None)
    if not isinstance(found, OpOverload):
        raise ValueError(f"the text of a step names {name!r}, which is no op of torch")
    return _FOR_ANY_LAYOUT.get(found, found)


def _plain(argument: object, numbers: Mapping[fx.Node, int]) -> object:
    """Return an argument as JSON holds it."""
    if isinstance(argument, fx.Node):
        return {_REFERENCE: numbers[argument]}
    if isinstance(argument, (list, tuple)):
        return [_plain(a, numbers) for a in argument]
    if isinstance(argument, torch.device):
        return {"device": str(argument)}
    if isinstance(argument, _CONSTANTS):
        return {_CONSTANT: str(argument).removeprefix("torch.")}
    if argument is None or isinstance(argument, (bool, int, float, str)):
        return argument
    raise TypeError(f"a step takes {argument!r}, which is no plain value")


def _filled(argument: Any, nodes: Sequence[Argument]) -> Any:
    if isinstance(argument, list):
        return [_filled(a, nodes) for a in argument]
    if not isinstance(argument, dict):
        return argument
    ((kind, content),) = argument.items()
    if kind == _REFERENCE:
        return nodes[content]
    return torch.device(content) if kind == "device" else getattr(torch, content)
