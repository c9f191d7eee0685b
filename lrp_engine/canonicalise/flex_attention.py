"""Rewrite FlexAttention, whose scores and mask are nested graphs, as attention with a mask.

The mask's graph tells for one batch entry, head, query and key whether the query sees the key. It
is mapped over all of them with vmap, as in torch's own reference, and the mask pass then treats it
like any other mask. Block masks only repeat it for a kernel that skips blocks, and drop out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import HigherOrderOperator
from torch.fx.node import Argument

from ..capture import Captured
from ..errors import CaptureError
from ..graphs.aten import TRANSPARENT
from ..graphs.nodes import is_getitem, origin, part_of, value, values
from ..graphs.tracing import inline, run_without_data, trace
from ..graphs.walk import downstream, upstream
from .rewriting import Copies, rewrite

_FLEX = "flex_attention"
_FUSED = torch.ops.aten.scaled_dot_product_attention.default
_INDICES = 4  # batch entry, head, query, key: what a mask's graph is called with first
_ADVICE = (
    'Use another attention (in transformers attn_implementation="sdpa", or "eager" where the scores'
    " are capped)."
)

MaskKey = tuple[str, tuple[Argument, ...], tuple[str, ...]]  # its graph, what it reads, sizes
Masks = dict[MaskKey, fx.Node]


def write_flex_attention(captured: Captured) -> Captured:
    """Rewrite every FlexAttention as fused attention with a mask.

    Requires nothing. Ensures that no FlexAttention is left. The fused kernel may round differently,
    so the op is listed in `taken_apart`.

    Raises:
        CaptureError: An op changes the scores, reads constants in its mask, or more than its result
            is used.
    """
    masks: Masks = {}
    found: set[str] = set()
    unused = _find_unused(captured.graph)

    def attention(node: fx.Node, graph: fx.Graph, copies: Copies) -> Argument:
        if node in unused:
            return ()
        if is_getitem(node) and _is_flex(part_of(node)[0]):
            return copies[part_of(node)[0]]
        if not _is_flex(node):
            return None
        found.add(str(node.target))
        return _fused(node, graph, copies, masks)

    rewritten = rewrite(captured, attention).captured
    if not found:
        return captured
    return replace(rewritten, taken_apart=tuple(sorted({*captured.taken_apart, *found})))


def _find_unused(graph: fx.Graph) -> set[fx.Node]:
    """Find what is computed from log-sum-exps and maxima; on a GPU models ask for them in vain."""
    beside = {n for n in graph.nodes if is_getitem(n) and _is_flex(part_of(n)[0]) and part_of(n)[1]}
    used = upstream(graph.output_node().all_input_nodes)
    for node in beside:
        if not used.isdisjoint({node, *downstream({node})}):
            raise _refused(part_of(node)[0], "its log-sum-exp or its maximum is used")
    return beside | set(downstream(beside))


def _is_flex(node: fx.Node) -> bool:
    return isinstance(node.target, HigherOrderOperator) and node.target._name == _FLEX


def _fused(node: fx.Node, graph: fx.Graph, copies: Copies, masks: Masks) -> fx.Node:
    assert isinstance(node.target, HigherOrderOperator)
    parameters = inspect.signature(node.target.__call__)
    call = parameters.bind(*node.args, **node.kwargs).arguments
    if not _is_identity(value(call["score_mod"])):
        raise _refused(node, "its score_mod changes the scores")
    query = call["query"]
    mask = _mask(node, call, graph, copies, masks)
    sides = [_spread(call[name], query, graph, copies, node) for name in ("key", "value")]
    args: tuple[Argument, ...] = (copies[query], *sides, mask)
    kwargs = {"scale": call["scale"]}
    made = graph.call_function(_FUSED, args, kwargs)
    made.meta = {**node.meta, "val": run_without_data(_FUSED, args, kwargs)}
    return made


def _is_identity(graph: fx.GraphModule) -> bool:
    """Return whether a score_mod returns the score that it is given."""
    returned = graph.graph.output_node().args[0]
    while isinstance(returned, fx.Node) and returned.target in TRANSPARENT:
        returned = returned.args[0]
    return returned is next(iter(graph.graph.nodes))


def _mask(
    node: fx.Node, call: dict[str, Any], graph: fx.Graph, copies: Copies, masks: Masks
) -> fx.Node:
    """Write the mask that an op's mask_mod stands for; layers with the same one share it."""
    mask_mod = value(call["block_mask"][-1])
    if any(n.op == "get_attr" for n in mask_mod.graph.nodes):
        raise _refused(node, "its mask_mod holds a constant or a graph of its own")
    held = tuple(call.get("mask_mod_other_buffers", ()))
    given = [call["query"], call["key"], *(x for x in held if isinstance(x, fx.Node))]
    sizes = tuple(map(str, (*value(given[0]).shape, *value(given[1]).shape)))
    key = (str(mask_mod.graph), held, sizes)
    if key not in masks:
        template = trace(_map_over_all(mask_mod, held), values(given))
        masks[key] = inline(template, graph, [copies[n] for n in given], node)[0]
    return masks[key]


def _map_over_all(mask_mod: fx.GraphModule, held: tuple[Argument, ...]) -> Callable[..., Tensor]:
    """Map a mask of one batch entry, head, query and key over all of them."""
    indices = [n for n in mask_mod.graph.nodes if n.op == "placeholder"][:_INDICES]
    of_all: Callable[..., Tensor] = mask_mod
    for place in reversed(range(_INDICES)):
        axes = tuple(0 if i == place else None for i in range(_INDICES))
        of_all = torch.vmap(of_all, in_dims=axes + (None,) * len(held))

    def mask(query: Tensor, key: Tensor, *traced: Tensor) -> Tensor:
        batch, heads, queries, _ = query.shape
        # Batch entries and heads that are all alike share one mask.
        batch, heads = (n if i.users else 1 for i, n in zip(indices, (batch, heads), strict=False))
        grid = [torch.arange(n, device=query.device) for n in (batch, heads, queries, key.shape[2])]
        rest = iter(traced)
        return of_all(*grid, *(next(rest) if isinstance(x, fx.Node) else x for x in held))

    return mask


def _spread(
    side: fx.Node, query: fx.Node, graph: fx.Graph, copies: Copies, node: fx.Node
) -> Argument:
    """Expand keys or values to every batch entry and head of the queries.

    Written out and not left to the kernel (`enable_gqa`): most fused kernels do not know grouped
    heads, and without one attention would take memory quadratic in length.
    """

    def spread(x: Tensor, query: Tensor) -> Tensor:
        groups = query.shape[1] // x.shape[1]
        return x[:, :, None].expand(query.shape[0], -1, groups, -1, -1).flatten(1, 2)

    if value(side).shape[:2] == value(query).shape[:2]:
        return copies[side]
    template = trace(spread, values([side, query]))
    expanded: Argument = inline(template, graph, [copies[side], copies[query]], node)[0]
    return expanded


def _refused(node: fx.Node, why: str) -> CaptureError:
    return CaptureError(f"{node.target} in {origin(node)}: {why}. {_ADVICE}")
