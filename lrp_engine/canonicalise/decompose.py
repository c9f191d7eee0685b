"""Replace ops that have no rule by what they are made of, one level at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from torch import fx
from torch._decomp import decomposition_table
from torch._ops import OpOverload
from torch.fx.node import Argument, Target

from ..capture import Captured
from ..graphs.decomposition import Traces, is_composite, write_parts
from ..graphs.nodes import is_getitem, part_of
from .recipes import RECIPES, Recipe
from .rewriting import Copies, Rewritten, rewrite


def decompose(captured: Captured, nodes: Collection[fx.Node]) -> Rewritten | None:
    """Decompose the given nodes; return None if none of them can be."""
    recipes = {node: recipe for node in nodes if (recipe := find_recipe(node.target))}
    if not recipes:
        return None
    traces: Traces = {}

    def parts(node: fx.Node, graph: fx.Graph, copies: Copies) -> Argument:
        if is_getitem(node):
            producer, index = part_of(node)
            parts_of_producer = copies[producer]
            return parts_of_producer[index] if isinstance(parts_of_producer, list) else None
        if node not in recipes:
            return None
        written: Argument = write_parts(node, recipes[node], graph, copies, traces)
        return written

    # A composite kernel is what torch runs anyway; any other recipe may round differently.
    inexact = {str(node.target) for node in recipes if not is_composite(node.target)}
    apart = tuple(sorted({*captured.taken_apart, *inexact}))
    rewritten = rewrite(captured, parts)
    return rewritten._replace(captured=replace(rewritten.captured, taken_apart=apart))


def find_recipe(target: Target) -> Recipe | None:
    """Return torch's decomposition of an op (its composite kernel, the Python table), or ours."""
    if not isinstance(target, OpOverload):
        return None
    if is_composite(target):
        return target.decompose
    return decomposition_table.get(target) or RECIPES.get(target)
