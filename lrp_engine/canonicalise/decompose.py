"""Replaces ops that have no rule by what they are made of, one level at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import decomposition_table
from torch.utils import _pytree as pytree

from ..capture import Captured
from ..graph import values
from ..template import inline, is_getitem, part_of, trace
from .recipes import RECIPES
from .rewriting import Copies, rewrite


def decompose(captured: Captured, nodes: Collection[fx.Node]) -> Captured | None:
    """Decomposes the given nodes; None if none of them can be."""
    recipes = {node: recipe for node in nodes if (recipe := recipe_for(node.target))}
    if not recipes:
        return None

    def parts(node: fx.Node, graph: fx.Graph, copies: Copies) -> Any:
        if is_getitem(node):
            producer, index = part_of(node)
            parts_of_producer = copies[producer]
            return parts_of_producer[index] if isinstance(parts_of_producer, list) else None
        if node not in recipes:
            return None
        return _expand(node, recipes[node], graph, copies)

    # A composite kernel is what torch runs anyway; any other recipe may round differently.
    inexact = {str(node.target) for node in recipes if not _is_composite(node.target)}
    apart = tuple(sorted({*captured.taken_apart, *inexact}))
    return replace(rewrite(captured, parts), taken_apart=apart)


def recipe_for(target: Any) -> Callable[..., Any] | None:
    """torch's own decomposition of an op (its composite kernel or the Python table), or ours."""
    if not isinstance(target, torch._ops.OpOverload):
        return None
    if _is_composite(target):
        return target.decompose
    return decomposition_table.get(target) or RECIPES.get(target)


def _is_composite(target: Any) -> bool:
    return target.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd)


def _expand(node: fx.Node, recipe: Callable[..., Any], graph: fx.Graph, copies: Copies) -> Any:
    leaves, spec = pytree.tree_flatten((node.args, node.kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, fx.Node)]

    def run(*given: Any) -> Any:
        filled = list(leaves)
        for place, argument in zip(places, given, strict=True):
            filled[place] = argument
        args, kwargs = pytree.tree_unflatten(filled, spec)
        result = recipe(*args, **kwargs)
        return result if isinstance(result, Tensor) else list(result)

    template = trace(run, [values(leaves[i]) for i in places])
    results = inline(template, graph, [copies[leaves[i]] for i in places], node)
    return results[0] if isinstance(node.meta["val"], Tensor) else results
