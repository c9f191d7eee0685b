"""Replaces ops that have no rule by what they are made of, one level at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import torch
from torch import fx
from torch._decomp import decomposition_table

from ..capture import Captured
from ..graphs.decomposition import Traces, is_composite, write_parts
from ..graphs.nodes import is_getitem, part_of
from .recipes import RECIPES
from .rewriting import Copies, Rewritten, rewrite


def decompose(captured: Captured, nodes: Collection[fx.Node]) -> Rewritten | None:
    """Decomposes the given nodes; None if none of them can be."""
    recipes = {node: recipe for node in nodes if (recipe := recipe_for(node.target))}
    if not recipes:
        return None
    traces: Traces = {}

    def parts(node: fx.Node, graph: fx.Graph, copies: Copies) -> Any:
        if is_getitem(node):
            producer, index = part_of(node)
            parts_of_producer = copies[producer]
            return parts_of_producer[index] if isinstance(parts_of_producer, list) else None
        if node not in recipes:
            return None
        return write_parts(node, recipes[node], graph, copies, traces)

    # A composite kernel is what torch runs anyway; any other recipe may round differently.
    inexact = {str(node.target) for node in recipes if not is_composite(node.target)}
    apart = tuple(sorted({*captured.taken_apart, *inexact}))
    rewritten = rewrite(captured, parts)
    return rewritten._replace(captured=replace(rewritten.captured, taken_apart=apart))


def recipe_for(target: Any) -> Callable[..., Any] | None:
    """torch's own decomposition of an op (its composite kernel or the Python table), or ours."""
    if not isinstance(target, torch._ops.OpOverload):
        return None
    if is_composite(target):
        return target.decompose
    return decomposition_table.get(target) or RECIPES.get(target)
