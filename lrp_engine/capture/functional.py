"""Make an exported program functional, without a second trace where possible.

torch.export records what the model calls, writes into tensors included. Torch's own way to a graph
without them, `run_decompositions`, traces the whole program again and takes 2.5 times as long as
the export. Most programs do not need it: their graph holds no write, or only writes that can be
read as ops that return a new value. Where that is not certain, torch's way is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor
from torch.export import ExportedProgram

from ..graphs.aten import ALIAS, CHECK_METADATA
from ..graphs.nodes import is_getitem, value
from ..graphs.schema import bind
from .in_place import (
    Entangled,
    Write,
    is_dropout,
    is_its_operand,
    may_alias_silently,
    out_of_place,
)

_PLAIN = {Tensor, nn.Parameter, nn.Buffer}
_NUMBERS = (int, float, torch.SymInt, torch.SymFloat, torch.SymBool)


class Functional(NamedTuple):
    """A program with a functional reading of those of its ops that write into operands."""

    program: ExportedProgram
    writes: dict[fx.Node, Write]


def make_functional(program: ExportedProgram, *, retraced: bool = False) -> Functional:
    """Return a functional reading of a program, by the cheapest way that is certainly right.

    `retraced`: trace it again in any case. Under autocast, this writes the casts into the graph.
    """
    if not retraced and _is_flat(program.graph) and _holds_plain_tensors(program):
        try:
            return Functional(program, out_of_place(program.graph))
        except Entangled:
            pass
    return retrace(program)


def retrace(program: ExportedProgram) -> Functional:
    """Functionalise a program as torch does, by tracing it again."""
    with torch.no_grad(), _aliases_declared(program.graph):
        # An empty table functionalises and keeps every composite op whole.
        return Functional(program.run_decompositions({}), {})


@contextmanager
def _aliases_declared(graph: fx.Graph) -> Iterator[None]:
    """Write ops that return their operand itself as the op that says so, and undo it at the end.

    Torch traces dropout that is switched off as a copy: a write through its result, or to its
    operand, would not reach the other. Each is read at once by an op that computes nothing:
    otherwise torch writes the alias where it is read next, as if another module had returned it.
    """
    silent = [n for n in graph.nodes if n.op == "call_function" and is_its_operand(n)]
    before = [(n, n.target, n.args, n.kwargs) for n in silent]
    reads: list[fx.Node] = []
    try:
        for node in silent:
            node.target, node.args, node.kwargs = ALIAS, node.args[:1], {}
        reads += [_read_at_once(graph, n) for n in _aliases(graph)]
        yield
    finally:
        for read in reads:
            graph.erase_node(read)
        for node, target, args, kwargs in before:
            node.target, node.args, node.kwargs = target, args, kwargs


def _aliases(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if node.target is ALIAS]


def _read_at_once(graph: fx.Graph, node: fx.Node) -> fx.Node:
    with graph.inserting_after(node):
        read = graph.call_function(CHECK_METADATA, (node,))
    read.meta = dict(node.meta) | {"val": None}
    return read


def _is_flat(graph: fx.Graph) -> bool:
    """Return whether every node is an input, an op or arithmetic on sizes: no nested graph."""
    return all(node.op in ("placeholder", "output") or _is_plain(node) for node in graph.nodes)


def _is_plain(node: fx.Node) -> bool:
    if node.op != "call_function":
        return False
    if isinstance(node.target, OpOverload):
        quiet = may_alias_silently(node.target) and _is_training(node.target, node)
        return is_dropout(node) or not quiet
    return is_getitem(node) or isinstance(value(node), _NUMBERS)


def _is_training(op: OpOverload, node: fx.Node) -> bool:
    arguments = bind(op, node.args, node.kwargs)
    return any(arguments.get(name) is True for name in ("train", "training"))


def _holds_plain_tensors(program: ExportedProgram) -> bool:
    """Return whether no weight is of a class of its own, whose ops would hide the computation."""
    held = [*program.state_dict.values(), *program.constants.values()]
    return all(type(t) in _PLAIN or isinstance(t, FakeTensor) for t in held)
