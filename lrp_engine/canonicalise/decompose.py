"""Replace ops that have no rule by what they are made of, one level at a time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

from torch import fx
from torch._decomp import decomposition_table
from torch._ops import OpOverload
from torch.fx.node import Argument, Target

from ..capture import Captured
from ..graphs.decomposition import Traces, is_composite, write_parts
from ..graphs.nodes import (
    WHOLE,
    Whole,
    holds_tensors,
    is_below_two_bytes,
    is_getitem,
    part_of,
    whole_of,
)
from .recipes import RECIPES, RECIPES_BY_NAME, Recipe
from .recurrent_layers import RECURRENT_LAYERS
from .rewriting import Copies, Rewritten, rewrite

_NOT_SERVED = (RuntimeError, NotImplementedError, TypeError)


def decompose(captured: Captured, nodes: Mapping[fx.Node, str]) -> Rewritten | None:
    """Decompose the given nodes; return None if none can be, or one gives a Python number.

    Args:
        captured: The model; it is not changed.
        nodes: What to decompose, and why: the parts remember which op of the user's they are of.
    """
    if not all(map(holds_tensors, nodes)) or any(map(is_below_two_bytes, nodes)):
        return None  # relevance is lost there, whatever becomes of the others
    recipes = {node: recipe for node in nodes if (recipe := find_recipe(node.target))}
    if not recipes:
        return None
    traces: Traces = {}
    written: set[fx.Node] = set()

    def parts(node: fx.Node, graph: fx.Graph, copies: Copies) -> Argument:
        if is_getitem(node):
            producer, index = part_of(node)
            parts_of_producer = copies[producer]
            return parts_of_producer[index] if isinstance(parts_of_producer, list) else None
        if node not in recipes:
            return None
        before = next(iter(reversed(graph.nodes)), None)
        try:
            whole = node.target in RECURRENT_LAYERS
            made: Argument = write_parts(node, recipes[node], graph, copies, traces, whole=whole)
        except _NOT_SERVED:
            return None  # torch's recipe does not serve this dtype or shape: the gap stays
        written.add(node)
        _mark_parts(graph, before, whole_of(node, nodes[node]))
        return made

    rewritten = rewrite(captured, parts)
    if not written:
        return None
    # A composite kernel is what torch runs anyway; any other recipe may round differently.
    inexact = {str(n.target) for n in written if _may_round(n.target)}
    apart = tuple(sorted({*captured.taken_apart, *inexact}))
    return rewritten._replace(captured=replace(rewritten.captured, taken_apart=apart))


def _may_round(target: Target) -> bool:
    return target in RECURRENT_LAYERS or not is_composite(target)


def _mark_parts(graph: fx.Graph, before: fx.Node | None, whole: Whole) -> None:
    """Let the nodes that were written since remember which op they are parts of."""
    for made in itertools.takewhile(lambda node: node is not before, reversed(graph.nodes)):
        made.meta[WHOLE] = whole


def find_recipe(target: Target) -> Recipe | None:
    """Return our decomposition of an op, or torch's (its composite kernel, the Python table)."""
    if not isinstance(target, OpOverload):
        return None
    known = RECIPES.get(target) or RECIPES_BY_NAME.get(str(target))
    if known is not None:
        return known
    return target.decompose if is_composite(target) else decomposition_table.get(target)
