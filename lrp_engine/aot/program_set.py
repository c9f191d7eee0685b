"""The programs of an engine in a form that torch can compile ahead of time.

A compiled program takes and gives nothing but tensors. Sizes that cross from the forward to the
relevance program are computed again there, and constants are put in their places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ..canonicalise.masks import MaskClaim
from ..capture.shapes import ShapeContract
from ..errors import PackageError
from ..graphs.aten import SIZE
from ..graphs.nodes import value
from ..programs.compiled import prepare_for_compiler
from ..programs.program import Program
from .expression import evaluate, text_of


@dataclass(frozen=True)
class Source:
    """A module to compile, and what it is called with: the kind of every tensor, the order in which
    its axes lie in memory, and its shape (numbers, and sympy expressions where a size is free).
    """

    module: fx.GraphModule
    like: tuple[Tensor, ...]
    shapes: tuple[tuple[Any, ...], ...]

    @property
    def orders(self) -> tuple[tuple[int, ...], ...]:
        """The axes of every argument, from the outermost in memory to the innermost."""
        return tuple(map(order_of, self.like))


def order_of(tensor: Tensor) -> tuple[int, ...]:
    """Axes by falling stride."""
    strides = tensor.stride()
    return tuple(sorted(range(tensor.dim()), key=lambda axis: (-strides[axis], axis)))


def laid(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """The tensor, its axes in memory in this order and without gaps: compiled code relies on it."""
    ordered = tensor.permute(*order)
    if ordered.is_contiguous():
        return tensor
    back = sorted(range(len(order)), key=lambda axis: order[axis])
    return ordered.contiguous().permute(*back)


@dataclass(frozen=True)
class Slot:
    """Where an argument of a program comes from: the next tensor, a size, or a constant."""

    kind: str
    value: Any = None

    @classmethod
    def of(cls, fake: Any) -> Slot:
        """The slot for a value of this kind."""
        if isinstance(fake, Tensor):
            return cls("tensor")
        if isinstance(fake, torch.SymInt):
            return cls("size", text_of(fake.node.expr))
        if fake is None or isinstance(fake, (bool, int, float, str)):
            return cls("constant", fake)
        raise PackageError(f"a value of kind {type(fake).__name__} cannot be packaged")


def _sizes_in(contract: ShapeContract, slots: Sequence[Slot]) -> dict[str, tuple[int, int]]:
    """(position among the tensors, axis) at which the size of every symbol can be read."""
    places = [i for i, slot in enumerate(slots) if slot.kind == "tensor"]
    return {
        str(f.symbol): (places.index(f.leaf), f.axis)
        for f in reversed(contract.free())
        if f.symbol.is_symbol
    }


def on_tensors(
    program: fx.GraphModule,
    slots: Sequence[Slot],
    sizes: Mapping[str, tuple[int, int]],
    returned: Sequence[int] | None = None,
    carriers: int = 0,
) -> fx.GraphModule:
    """The program with parameters for tensors alone, the first of them `carriers` of sizes.

    `sizes` says of which parameter, and along which axis, a symbol is the size. Of the results,
    those at the places `returned` are kept.
    """
    program, graph = prepare_for_compiler(program), fx.Graph()
    inputs = program.graph.find_nodes(op="placeholder")
    taken = [n for n, slot in zip(inputs, slots, strict=True) if slot.kind == "tensor"]
    parameters = [graph.placeholder(f"carrier_{i}") for i in range(carriers)]
    parameters += [graph.placeholder(node.name) for node in taken]
    known = {
        name: fx.Proxy(graph.call_function(SIZE, (parameters[place], axis)))
        for name, (place, axis) in sizes.items()
    }
    given = filled(slots, parameters[carriers:], known)
    copies: dict[fx.Node, Any] = {
        node: v.node if isinstance(v, fx.Proxy) else v
        for node, v in zip(inputs, given, strict=True)
    }
    for node in program.graph.nodes:
        if node.op == "output":
            results = node.args[0] if isinstance(node.args[0], (tuple, list)) else (node.args[0],)
            chosen = range(len(results)) if returned is None else returned
            graph.output(tuple(copies[results[i]] for i in chosen))
        elif node not in copies:
            copies[node] = graph.node_copy(node, lambda n: copies[n])
    graph.eliminate_dead_code()
    graph.lint()
    return fx.GraphModule(program, graph)


def filled(slots: Sequence[Slot], tensors: Sequence[Any], sizes: Mapping[str, Any]) -> list[Any]:
    """One value per slot."""
    rest = iter(tensors)
    return [
        next(rest)
        if slot.kind == "tensor"
        else evaluate(slot.value, sizes)
        if slot.kind == "size"
        else slot.value
        for slot in slots
    ]


def tensors_of(values: Sequence[Any]) -> list[Tensor]:
    """Those that are tensors."""
    return [v for v in values if isinstance(v, Tensor)]


def pair(
    program: Program, contract: ShapeContract, leaves: Sequence[Any], seeds: Sequence[Tensor]
) -> tuple[Source, Source]:
    """Both programs; `leaves` are inputs to compile them for, with every free size above 1."""
    given = [value(n) for n in program.forward.graph.find_nodes(op="placeholder")]
    slots = [Slot.of(fake) for fake in given]
    sizes = _sizes_in(contract, slots)
    results: Any = program.forward.graph.output_node().args[0]
    returned = [i for i, r in enumerate(results) if isinstance(_value_of(r), Tensor)]
    forward = on_tensors(program.forward, slots, sizes, returned)
    values = program.forward(*leaves)
    taken = [value(n) for n in program.relevance.graph.find_nodes(op="placeholder")]
    after_seeds = {name: (place + len(seeds), axis) for name, (place, axis) in sizes.items()}
    relevance = on_tensors(program.relevance, [Slot.of(fake) for fake in taken], after_seeds)
    arguments = [*seeds, *leaves, *values[program.outputs :]]
    return (
        Source(forward, tuple(tensors_of(leaves)), _shapes(given)),
        Source(relevance, tuple(tensors_of(arguments)), _shapes(taken)),
    )


def mask_source(claim: MaskClaim) -> Source:
    """The program that computes a mask which was left out, to be checked at new sizes."""
    sizes = range(5, 5 + len(claim.symbols))
    like = carriers(sizes, mask_device(claim))
    slots = [Slot("size", str(symbol)) for symbol in claim.symbols]
    places = {slot.value: (i, 0) for i, slot in enumerate(slots)}
    module = on_tensors(_program_of(claim), slots, places, carriers=len(slots))
    return Source(module, like, tuple((symbol,) for symbol in claim.symbols))


def mask_device(claim: MaskClaim) -> str:
    """Where a mask is computed."""
    return str(value(_program_of(claim).graph.output_node().all_input_nodes[0]).device)


def _program_of(claim: MaskClaim) -> fx.GraphModule:
    assert isinstance(claim.mask, fx.GraphModule)
    return claim.mask


def carriers(sizes: Sequence[int], device: str) -> tuple[Tensor, ...]:
    """Tensors that say nothing but these sizes."""
    return tuple(torch.empty(size, dtype=torch.bool, device=device) for size in sizes)


def _value_of(result: Any) -> Any:
    return value(result) if isinstance(result, fx.Node) else result


def _shapes(fakes: Sequence[Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(map(_size, fake.shape)) for fake in fakes if isinstance(fake, Tensor))


def _size(size: Any) -> Any:
    """A number, or the expression that a size is."""
    if not isinstance(size, torch.SymInt):
        return size
    expr = size.node.expr
    return int(expr) if expr.is_number else expr
