"""Rewrite an engine's programs so that torch can compile them ahead of time.

A compiled program takes and returns tensors only. Sizes that cross from the forward to the
relevance program are computed again there, and constants are put in their places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, fx
from torch.fx.node import Argument
from torch.types import IntLikeType

from ..canonicalise.masks import MaskClaim
from ..capture.shape_contract import Expression, ShapeContract
from ..errors import PackageError
from ..graphs.aten import SIZE
from ..graphs.nodes import value
from ..programs.compiled import prepare_for_compiler
from ..programs.program import Program
from .expression import evaluate, format_expression
from .manifest import Constant

T = TypeVar("T")
Shape = tuple[Expression, ...]  # numbers where fixed, sympy expressions where free


@dataclass(frozen=True)
class ProgramSource:
    """A module to compile and the tensors that it is called with.

    `like` are tensors of the same dtype, device and order of axes in memory, `shapes` their shapes:
    numbers, and sympy expressions where a size is free.
    """

    module: fx.GraphModule
    like: tuple[Tensor, ...]
    shapes: tuple[Shape, ...]

    @property
    def orders(self) -> tuple[tuple[int, ...], ...]:
        """The axes of every argument, from the outermost in memory to the innermost."""
        return tuple(map(order_of, self.like))


def order_of(tensor: Tensor) -> tuple[int, ...]:
    """Return a tensor's axes by falling stride."""
    strides = tensor.stride()
    return tuple(sorted(range(tensor.dim()), key=lambda axis: (-strides[axis], axis)))


def lay_out(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """Lay out a tensor's axes in memory in this order, without gaps, as compiled code needs."""
    ordered = tensor.permute(*order)
    if ordered.is_contiguous():
        return tensor
    back = sorted(range(len(order)), key=lambda axis: order[axis])
    return ordered.contiguous().permute(*back)


@dataclass(frozen=True)
class Slot:
    """The source of a program's argument: the next tensor, a size, or a constant."""

    kind: str
    value: Constant = None

    @classmethod
    def of(cls, fake: object) -> Slot:
        """Return the slot for a value of this kind."""
        if isinstance(fake, Tensor):
            return cls("tensor")
        if isinstance(fake, torch.SymInt):
            return cls("size", format_expression(fake.node.expr))
        if fake is None or isinstance(fake, (bool, int, float, str)):
            return cls("constant", fake)
        raise PackageError(f"a value of kind {type(fake).__name__} cannot be packaged")


def _sizes_in(contract: ShapeContract, slots: Sequence[Slot]) -> dict[str, tuple[int, int]]:
    """Return (position among the tensors, axis) from which each symbol's size can be read."""
    places = [i for i, slot in enumerate(slots) if slot.kind == "tensor"]
    return {
        str(f.symbol): (places.index(f.leaf), f.axis)
        for f in reversed(contract.free())
        if f.symbol.is_symbol
    }


def restrict_to_tensors(
    program: fx.GraphModule,
    slots: Sequence[Slot],
    sizes: Mapping[str, tuple[int, int]],
    returned: Sequence[int] | None = None,
    carriers: int = 0,
) -> fx.GraphModule:
    """Copy a program with tensors as its only parameters.

    Args:
        program: The program.
        slots: The source of each of its arguments.
        sizes: For each symbol the parameter and axis whose size it is.
        returned: The positions of the results that are kept; all by default.
        carriers: The number of parameters in front that only carry sizes.
    """
    program, graph = prepare_for_compiler(program), fx.Graph()
    inputs = program.graph.find_nodes(op="placeholder")
    taken = [n for n, slot in zip(inputs, slots, strict=True) if slot.kind == "tensor"]
    parameters = [graph.placeholder(f"carrier_{i}") for i in range(carriers)]
    parameters += [graph.placeholder(node.name) for node in taken]
    known: dict[str, fx.Node | fx.Proxy] = {
        name: fx.Proxy(graph.call_function(SIZE, (parameters[place], axis)))
        for name, (place, axis) in sizes.items()
    }
    tensors: list[fx.Node | fx.Proxy] = [*parameters[carriers:]]
    given = fill_slots(slots, tensors, known)
    copies: dict[fx.Node, Argument] = {
        node: v.node if isinstance(v, fx.Proxy) else v
        for node, v in zip(inputs, given, strict=True)
    }
    for node in program.graph.nodes:
        if node.op == "output":
            results = _results_of(program)
            chosen = range(len(results)) if returned is None else returned
            graph.output(tuple(copies[_as_node(results[i])] for i in chosen))
        elif node not in copies:
            copies[node] = graph.node_copy(node, lambda n: copies[n])
    graph.eliminate_dead_code()
    graph.lint()
    return fx.GraphModule(program, graph)


def fill_slots(
    slots: Sequence[Slot], tensors: Sequence[T], sizes: Mapping[str, T]
) -> list[T | Constant]:
    """Return one value per slot."""
    rest = iter(tensors)
    return [
        next(rest)
        if slot.kind == "tensor"
        else evaluate(str(slot.value), sizes)
        if slot.kind == "size"
        else slot.value
        for slot in slots
    ]


def only_tensors(values: Sequence[object]) -> list[Tensor]:
    """Return the values that are tensors."""
    return [v for v in values if isinstance(v, Tensor)]


def make_sources(
    program: Program, contract: ShapeContract, leaves: Sequence[object], seeds: Sequence[Tensor]
) -> tuple[ProgramSource, ProgramSource]:
    """Make the sources of both programs.

    Args:
        program: The forward and the relevance program.
        contract: The inputs' free sizes.
        leaves: Inputs to compile for, with every free size above 1.
        seeds: What the relevance program starts from, for these inputs.
    """
    given = [value(n) for n in program.forward.graph.find_nodes(op="placeholder")]
    slots = [Slot.of(fake) for fake in given]
    sizes = _sizes_in(contract, slots)
    results = _results_of(program.forward)
    returned = [i for i, r in enumerate(results) if isinstance(_value_of(r), Tensor)]
    forward = restrict_to_tensors(program.forward, slots, sizes, returned)
    values = program.forward(*leaves)
    taken = [value(n) for n in program.relevance.graph.find_nodes(op="placeholder")]
    after_seeds = {name: (place + len(seeds), axis) for name, (place, axis) in sizes.items()}
    relevance = restrict_to_tensors(
        program.relevance, [Slot.of(fake) for fake in taken], after_seeds
    )
    arguments = [*seeds, *leaves, *values[program.outputs :]]
    return (
        ProgramSource(forward, tuple(only_tensors(leaves)), _shapes(given)),
        ProgramSource(relevance, tuple(only_tensors(arguments)), _shapes(taken)),
    )


def mask_source(claim: MaskClaim) -> ProgramSource:
    """Make the source of the program that computes a left-out mask, to check it at new sizes."""
    sizes = range(5, 5 + len(claim.symbols))
    like = make_carriers(sizes, mask_device(claim))
    slots = [Slot("size", str(symbol)) for symbol in claim.symbols]
    places = {str(slot.value): (i, 0) for i, slot in enumerate(slots)}
    module = restrict_to_tensors(_program_of(claim), slots, places, carriers=len(slots))
    return ProgramSource(module, like, tuple((symbol,) for symbol in claim.symbols))


def mask_device(claim: MaskClaim) -> str:
    """Return the device on which a mask is computed."""
    return str(value(_program_of(claim).graph.output_node().all_input_nodes[0]).device)


def _program_of(claim: MaskClaim) -> fx.GraphModule:
    assert isinstance(claim.mask, fx.GraphModule)
    return claim.mask


def make_carriers(sizes: Sequence[int], device: str) -> tuple[Tensor, ...]:
    """Make tensors that only carry these sizes."""
    return tuple(torch.empty(size, dtype=torch.bool, device=device) for size in sizes)


def _results_of(program: fx.GraphModule) -> Sequence[Argument]:
    """Return the results of a program, also if it returns one that is not in a tuple."""
    result = program.graph.output_node().args[0]
    return result if isinstance(result, (tuple, list)) else (result,)


def _as_node(result: Argument) -> fx.Node:
    assert isinstance(result, fx.Node)
    return result


def _value_of(result: Argument) -> object:
    return value(result) if isinstance(result, fx.Node) else result


def _shapes(fakes: Sequence[object]) -> tuple[Shape, ...]:
    return tuple(tuple(map(_size, fake.shape)) for fake in fakes if isinstance(fake, Tensor))


def _size(size: IntLikeType) -> int | Expression:
    """Return a size as a number, or as its expression."""
    if not isinstance(size, torch.SymInt):
        return size
    expr = size.node.expr
    return int(expr) if expr.is_number else expr
