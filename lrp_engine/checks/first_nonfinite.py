"""Find the first value of a forward pass that is not finite: a weight, or an op's result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ..capture.signature import as_call
from ..engine import Engine
from ..graphs.modules import copy_graph, module_of
from .finding import Place


@dataclass(frozen=True)
class NonFinite:
    """The first value of the model that is not finite, in words, and the op it belongs to.

    `in_relevance`: the model's own values are finite, and relevance is not.
    """

    what: str
    place: Place | None
    in_relevance: bool = False


def find_first_nonfinite(engine: Engine, inputs: Any) -> NonFinite | None:
    """Run the model op by op; return None if all values are finite or -inf, as in masks.

    If nothing but -inf is found, the first op that makes it out of finite values is named.
    """
    captured = engine.captured
    args, kwargs = as_call(inputs)
    module = module_of(captured.tensors, copy_graph(captured.graph))
    leaves = captured.flatten_inputs(args, kwargs)
    for masks_allowed in (True, False):
        walk = _FirstNonFinite(module, masks_allowed)
        with torch.no_grad():
            walk.run(*leaves)
        if walk.found is not None:
            return _describe(walk.found, walk.count)
    return None


class _FirstNonFinite(fx.Interpreter):
    """Run a graph and record the first node whose value is not finite."""

    def __init__(self, module: fx.GraphModule, masks_allowed: bool) -> None:
        super().__init__(module)
        self.masks_allowed = masks_allowed
        self.found: fx.Node | None = None
        self.count = 0

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if self.found is None and n.op != "output":
            self.count = sum(self._count_nonfinite(leaf) for leaf in pytree.tree_leaves(result))
            if self.count:
                self.found = n
        return result

    def _count_nonfinite(self, leaf: Any) -> int:
        if not isinstance(leaf, Tensor) or not leaf.dtype.is_floating_point:
            return 0
        bad = ~torch.isfinite(leaf)
        if self.masks_allowed:
            bad &= leaf != -torch.inf
        return int(bad.sum())


def _describe(node: fx.Node, count: int) -> NonFinite:
    if node.op == "get_attr":
        user = next(iter(node.users), None)
        name = node.meta.get("tensor_name", node.target)
        what = f"the model's {name!r} holds {count} entries that are not finite"
        return NonFinite(what, Place.of(user) if user is not None else None)
    if node.op == "placeholder":
        return NonFinite(f"input {node.name!r} holds {count} entries that are not finite", None)
    what = f"{count} entries of its result are not finite, out of operands that were"
    return NonFinite(what, Place.of(node))
