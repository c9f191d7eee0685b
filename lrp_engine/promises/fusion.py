"""Estimate costs where a compiler fuses entrywise ops with the ops that read them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import fx

from ..graphs.aten import CAST
from .costs import Costs

# Of the bytes that a fused op would move by itself; keeps chains of them from growing long.
_FUSED = 0.05
# Of the bytes that keeping a value takes which is written to memory in any case.
_WRITTEN = 0.01


@dataclass
class FusedCosts(Costs):
    """Costs in time rather than memory, for programs that will be compiled.

    Keeping a value that is written to memory anyway costs nearly nothing; one that lives inside a
    fused kernel would have to be written for it. Only fused ops are recomputed.
    """

    relevance: Collection[fx.Node] = ()

    def bytes_to_keep(self, node: fx.Node) -> int:
        """Return the bytes written and read for no other reason than keeping the node."""
        whole = super().bytes_to_keep(node)
        return math.ceil(_WRITTEN * whole) if self._is_written(self.owner(node)) else whole

    def work(self, node: fx.Node) -> float:
        """Return the work of computing a node: infinite if no compiler fuses it with its reader."""
        work = super().work(node)
        return _FUSED * work if not work or _is_fused(node) else math.inf

    def _is_written(self, node: fx.Node) -> bool:
        """Return whether the forward program has the value in memory: another kernel reads it."""
        return not _is_fused(node) or any(
            self._is_written(user) if self.base(user) is node else not _is_fused(user)
            for user in node.users
            if user not in self.relevance
        )


def _is_fused(node: fx.Node) -> bool:
    tags = getattr(node.target, "tags", ())
    view = getattr(node.target, "is_view", False)
    return view or node.target is CAST or torch.Tag.pointwise in tags
