"""Write the parts of a composite op in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from .nodes import values
from .tracing import (
    Template,
    inline,
    signature,
    trace,
)

# By what a trace depends on: layers of equal shape share one.
Traces = dict[tuple[object, ...], Template]


def is_composite(target: object) -> bool:
    """Return whether an op's own kernel does nothing but call other ops."""
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    return isinstance(target, torch._ops.OpOverload) and target.has_kernel_for_dispatch_key(key)


def write_parts(
    node: fx.Node,
    recipe: Callable[..., Any],
    graph: fx.Graph,
    copies: Mapping[fx.Node, Any],
    traces: Traces,
    emit: Callable[..., fx.Node | int] | None = None,
    *,
    whole: bool = False,
) -> Any:
    """Write what `recipe` does into `graph` and return the result, a list if there are several.

    `whole`: leave the composite ops that it calls whole.
    """
    leaves, spec = pytree.tree_flatten((node.args, node.kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, fx.Node)]
    given = [values(leaves[i]) for i in places]

    def run(*arguments: object) -> Tensor | list[Tensor | None]:
        filled = list(leaves)
        for place, argument in zip(places, arguments, strict=True):
            filled[place] = argument
        args, kwargs = pytree.tree_unflatten(filled, spec)
        result = recipe(*args, **kwargs)
        return result if isinstance(result, Tensor) else list(result)

    fixed = tuple(None if i in places else (type(leaf), str(leaf)) for i, leaf in enumerate(leaves))
    key = (node.target, recipe, str(spec), fixed, tuple(map(signature, given)))
    if key not in traces:
        traces[key] = trace(run, given, whole=whole)
    results = inline(traces[key], graph, [copies[leaves[i]] for i in places], node, emit)
    return results[0] if isinstance(node.meta["val"], Tensor) else results
