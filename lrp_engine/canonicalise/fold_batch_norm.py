"""Fold an eval-mode batch norm into the weighted sum before or after it, for the rules only.

The forward pass stays as it is, bit for bit: the rules see an op with the folded weights, and its
value is the one that the model computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.fx.node import Argument

from ..capture import Captured
from ..graphs.aten import aten
from ..graphs.nodes import VALUE_OF, is_getitem, part_of, value
from ..graphs.schema import bind
from ..graphs.tracing import inline, trace
from .rewriting import Copies, Rewritten, follow_values, remap

_NORMS = {aten.batch_norm.default, aten._native_batch_norm_legit_no_training.default}
_TRANSPOSED = {
    aten.conv_transpose1d.default,
    aten.conv_transpose2d.input,
    aten.conv_transpose3d.input,
}
# (scale, shift, weight, bias) -> the weight and bias that include the norm.
FoldWeights = Callable[[Tensor, Tensor, Tensor, Tensor | None], list[Tensor]]
_SUMS = {aten.linear.default, aten.conv1d.default, aten.conv2d.default, aten.conv3d.default}


@dataclass(frozen=True)
class Fold:
    """A batch norm to fold: `result` becomes `weighted_sum` of `input` with other weights."""

    result: fx.Node
    weighted_sum: fx.Node
    norm: fx.Node
    input: fx.Node
    fold_weights: FoldWeights


def fold_batch_norm(captured: Captured) -> Rewritten:
    """Fold every eval-mode batch norm that lies beside a linear op or convolution.

    Requires functional ATen ops. Ensures that rules see the norm and its neighbour as one op.
    Other batch norms stay as they are.
    """
    folds = {fold.result: fold for fold in _folds(captured.graph)}
    graph = fx.Graph()
    copies: Copies = {}
    for node in captured.graph.nodes:
        copies[node] = graph.node_copy(node, lambda n: copies[n])
        if node in folds:
            copies[node] = _stand_in(folds[node], graph, copies)
    follow_values(captured.graph, copies)
    graph.lint()
    return Rewritten(remap(captured, graph, copies), copies)


def _folds(graph: fx.Graph) -> list[Fold]:
    found: list[Fold] = []
    for node in graph.nodes:
        norm = _norm_of(node)
        if norm is None:
            continue
        before = bind(norm.target, norm.args, norm.kwargs)["input"]
        if before.target in _SUMS | _TRANSPOSED and _is_constant(before):
            x = bind(before.target, before.args, before.kwargs)["input"]
            found.append(Fold(node, before, norm, x, _fold_after(before)))
        elif before.op != "get_attr":
            found += [
                Fold(user, user, norm, before, fold_into_input)
                for user in node.users
                if user.target in _SUMS and _reads(user, node) and _is_unpadded(user)
            ]
    return found


def _norm_of(node: fx.Node) -> fx.Node | None:
    """Return the eval-mode batch norm whose result a node is, if it is one."""
    norm = part_of(node)[0] if is_getitem(node) and part_of(node)[1] == 0 else node
    if norm.target not in _NORMS or (norm is node and not isinstance(value(node), Tensor)):
        return None
    arguments = bind(norm.target, norm.args, norm.kwargs)
    return None if arguments.get("training") else norm


def _is_constant(weighted_sum: fx.Node) -> bool:
    """Return whether its weight is a parameter, and not computed from an input."""
    weight = bind(weighted_sum.target, weighted_sum.args, weighted_sum.kwargs)["weight"]
    return isinstance(weight, fx.Node) and weight.op == "get_attr"


def _reads(user: fx.Node, node: fx.Node) -> bool:
    return bind(user.target, user.args, user.kwargs)["input"] is node and _is_constant(user)


def _is_unpadded(user: fx.Node) -> bool:
    # Zeros of the padding do not pass through the norm: the shift would differ at the border.
    padding = bind(user.target, user.args, user.kwargs).get("padding", 0)
    return not any(padding) if isinstance(padding, (list, tuple)) else padding == 0


def _fold_after(weighted_sum: fx.Node) -> FoldWeights:
    if weighted_sum.target not in _TRANSPOSED:
        return fold_into_output
    groups = bind(weighted_sum.target, weighted_sum.args, weighted_sum.kwargs)["groups"]

    def fold_into_transposed(
        scale: Tensor, shift: Tensor, w: Tensor, b: Tensor | None
    ) -> list[Tensor]:
        per_row = scale.view(groups, -1).repeat_interleave(w.shape[0] // groups, 0)
        spread = per_row.view(per_row.shape + (1,) * (w.dim() - 2))
        return [w * spread, shift if b is None else b * scale + shift]

    return fold_into_transposed


def fold_into_output(scale: Tensor, shift: Tensor, w: Tensor, b: Tensor | None) -> list[Tensor]:
    """Return weight and bias of scale * (w x + b) + shift.

    Args:
        scale: Of the norm after the op (out,).
        shift: Of the norm (out,).
        w: Weight of the op (out, ...).
        b: Bias of the op (out,).

    Returns:
        The weight, in the shape of `w`, and the bias (out,).
    """
    spread = scale.view((-1,) + (1,) * (w.dim() - 1))
    return [w * spread, shift if b is None else b * scale + shift]


def fold_into_input(scale: Tensor, shift: Tensor, w: Tensor, b: Tensor | None) -> list[Tensor]:
    """Return weight and bias of w (scale * x + shift) + b.

    Args:
        scale: Of the norm before the op (in,).
        shift: Of the norm (in,).
        w: Weight of the op (out, in / groups, ...).
        b: Bias of the op (out,).

    Returns:
        The weight, in the shape of `w`, and the bias (out,).
    """
    groups = scale.shape[0] // w.shape[1]
    rows = w.shape[0] // groups
    spread, moved = (
        v.view(groups, -1).repeat_interleave(rows, 0).view(w.shape[:2] + (1,) * (w.dim() - 2))
        for v in (scale, shift)
    )
    more = (w * moved).flatten(1).sum(1)
    return [w * spread, more if b is None else b + more]


def _stand_in(fold: Fold, graph: fx.Graph, copies: Copies) -> fx.Node:
    """Write the folded op, which stands for the value that the model computes."""
    op = fold.weighted_sum.target
    assert isinstance(op, OpOverload)
    arguments = bind(op, fold.weighted_sum.args, fold.weighted_sum.kwargs)
    weight, bias = _write_weights(fold, arguments, graph, copies)
    arguments = {n: copies[v] if isinstance(v, fx.Node) else v for n, v in arguments.items()}
    arguments |= {"input": copies[fold.input], "weight": weight, "bias": bias}
    node = graph.call_function(op, tuple(arguments[a.name] for a in op._schema.arguments))
    # A preset's row names the module of the weights, not that of the batch norm.
    node.meta = {**fold.result.meta, VALUE_OF: copies[fold.result]}
    node.meta["nn_module_stack"] = fold.weighted_sum.meta.get("nn_module_stack")
    return node


def _write_weights(
    fold: Fold, arguments: dict[str, Any], graph: fx.Graph, copies: Copies
) -> list[Argument]:
    """Write the folded weight and bias of a weighted sum, given its arguments by name."""
    norm = bind(fold.norm.target, fold.norm.args, fold.norm.kwargs)
    names = ("running_mean", "running_var", "weight", "bias")
    places = [norm[n] for n in names] + [arguments["weight"], arguments["bias"]]
    given = [n for n in places if n is not None]

    def fold_all(*tensors: Tensor) -> list[Tensor]:
        rest = iter(tensors)
        found: list[Any] = [n if n is None else next(rest) for n in places]
        mean, var, gain, offset, w, b = found
        scale = torch.rsqrt(var + norm["eps"])
        scale = scale if gain is None else scale * gain
        shift = -mean * scale if offset is None else offset - mean * scale
        return fold.fold_weights(scale, shift, w, b)

    template = trace(fold_all, [value(n) for n in given])
    return inline(template, graph, [copies[n] for n in given], fold.weighted_sum)
