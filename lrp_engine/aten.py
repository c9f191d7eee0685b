"""The few ops that the machinery itself writes or sees through. All other ops live in `rules/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

TRANSPARENT = {torch.ops.aten.detach.default, torch.ops.aten.alias.default}
SIZE = torch.ops.aten.sym_size.int
SUM = torch.ops.aten.add.Tensor  # a + alpha * b
SUM_OF_PRODUCT = torch.ops.aten.addcmul.default  # a + value * x * y
PRODUCT = torch.ops.aten.mul.Tensor

_BY_NUMBER = {
    PRODUCT: lambda k: k,
    torch.ops.aten.mul.Scalar: lambda k: k,
    torch.ops.aten.div.Tensor: lambda k: 1 / k,
    torch.ops.aten.div.Scalar: lambda k: 1 / k,
}


def without_factor(node: Any) -> tuple[Any, float]:
    """(x, k) with node = k * x for a positive number k; (node, 1) if it is not such a product."""
    factor = 1.0
    while isinstance(node, fx.Node) and node.target in _BY_NUMBER and len(node.args) == 2:
        x, k = node.args
        if not isinstance(k, (int, float)) or k <= 0 or not _same_dtype(node, x):
            break
        factor *= _BY_NUMBER[node.target](k)
        node = x
    return node, factor


def factors(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """The two tensors that a node multiplies; None if it is no such product."""
    if node.target is not PRODUCT or not all(isinstance(a, fx.Node) for a in node.args):
        return None
    return node.args  # type: ignore[return-value]


def _same_dtype(a: fx.Node, b: Any) -> bool:
    values: Sequence[Any] = [n.meta.get("val") for n in (a, b) if isinstance(n, fx.Node)]
    return (
        len(values) == 2
        and all(isinstance(v, Tensor) for v in values)
        and (values[0].dtype == values[1].dtype)
    )
