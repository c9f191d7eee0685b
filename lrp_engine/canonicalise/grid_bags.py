"""Open bags of embeddings that are the rows of a matrix of ids, and keep both of its axes.

`nn.EmbeddingBag` given ids (bags, length) flattens them, and tells the bags apart by offsets that
are multiples of the length. The samples of a batch are then in one axis with the words.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.fx.node import Argument

from ..capture import Captured
from ..graphs.aten import RESHAPE_FOR_VIEWS, aten
from ..graphs.nodes import is_getitem, part_of, value
from ..graphs.schema import Arguments, bind
from ..graphs.tracing import inline, trace
from .embedding_bags import BAGS, MAX, MEAN
from .rewriting import Copies, Rewritten, rewrite

_FLATTENING = {*RESHAPE_FOR_VIEWS, *RESHAPE_FOR_VIEWS.values()}


class _GridBag(NamedTuple):
    """A call whose bags are the rows of `ids`, with its weights, flat, and its settings."""

    table: fx.Node
    ids: fx.Node
    weights: fx.Node | None
    arguments: Arguments


def open_grid_bags(captured: Captured) -> Rewritten | None:
    """Replace such bags by a look-up (bags, length, features) and its reduction; None if none is.

    As with every decomposition, results may differ in the last bits.
    """
    grids = {n: g for n in captured.graph.nodes if n.target in BAGS and (g := _grid_of(n))}
    if not grids:
        return None

    def write(node: fx.Node, graph: fx.Graph, copies: Copies) -> Argument:
        if node in grids:
            return [_write(node, grids[node], graph, copies)]
        if is_getitem(node) and part_of(node)[0] in grids:
            opened: Any = copies[part_of(node)[0]]
            return opened[0]  # type: ignore[no-any-return]
        return None

    return rewrite(captured, write)


def _grid_of(node: fx.Node) -> _GridBag | None:
    """Return what a call reads if its ids are a matrix that was flattened row by row."""
    arguments = bind(node.target, node.args, node.kwargs)
    ids, weights = _unflattened(arguments["indices"]), arguments["per_sample_weights"]
    if ids is None or arguments["include_last_offset"] or _uses_more(node):
        return None
    rows, length = value(ids).shape
    starts = arguments["offsets"]
    if getattr(starts, "target", None) is not aten.arange.start_step:
        return None
    first, end, step = (str(value(a)) for a in starts.args[:3])
    if (first, end, step) != ("0", str(rows * length), str(length)):
        return None
    return _GridBag(arguments["weight"], ids, weights, arguments)


def _unflattened(node: fx.Node) -> fx.Node | None:
    """Return the matrix that a node has the entries of, row by row."""
    if node.target not in _FLATTENING or value(node).dim() != 1:
        return None
    matrix = node.args[0]
    return matrix if isinstance(matrix, fx.Node) and value(matrix).dim() == 2 else None


def _uses_more(node: fx.Node) -> bool:
    """Return whether more of a call is used than the reduced bags."""
    return any(not is_getitem(user) or part_of(user)[1] != 0 for user in node.users)


def _write(node: fx.Node, bag: _GridBag, graph: fx.Graph, copies: Copies) -> Argument:
    mode, padding = bag.arguments["mode"], bag.arguments.get("padding_idx")
    reduce = partial(reduce_rows, mode=mode, padding=-1 if padding is None else padding)
    read = [n for n in (bag.table, bag.ids, bag.weights) if n is not None]
    template = trace(reduce, [value(n) for n in read])
    (result,) = inline(template, graph, [copies[n] for n in read], node)
    return result  # type: ignore[no-any-return]


def reduce_rows(
    table: Tensor, ids: Tensor, weights: Tensor | None = None, *, mode: int, padding: int
) -> Tensor:
    """Look up rows by ids (bags, length), and reduce those of each bag: (bags, features).

    Args:
        table: The rows (ids, features).
        ids: Which rows lie in each bag.
        weights: A factor for each row (bags * length), in sums only.
        mode: The number of the reduction in torch.
        padding: An id that is left out; -1 for none.
    """
    rows = torch.nn.functional.embedding(ids, table)
    if weights is not None:
        rows = rows * weights.reshape(ids.shape).unsqueeze(-1)
    if padding == -1:
        return rows.amax(1) if mode == MAX else rows.mean(1) if mode == MEAN else rows.sum(1)
    kept = (ids != padding).unsqueeze(-1)
    if mode == MAX:
        largest = rows.masked_fill(~kept, -torch.inf).amax(1)
        return largest.masked_fill(~kept.any(1), 0.0)
    total = rows.masked_fill(~kept, 0.0).sum(1)
    return total / kept.sum(1).clamp(min=1).to(total.dtype) if mode == MEAN else total
