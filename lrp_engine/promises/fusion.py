"""What computing again costs where a compiler fuses entrywise ops with what reads them."""

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
    """Time rather than memory: a value that is written anyway is kept for nearly nothing, one that
    lives inside a fused kernel would have to be written for it. Only fused ops are done again."""

    relevance: Collection[fx.Node] = ()

    def keeping(self, node: fx.Node) -> int:
        """Bytes written and read for no other reason than keeping the node."""
        whole = super().keeping(node)
        return math.ceil(_WRITTEN * whole) if self._is_written(self.owner(node)) else whole

    def work(self, node: fx.Node) -> float:
        """Infinite for what no compiler fuses with its reader."""
        work = super().work(node)
        return _FUSED * work if not work or _is_fused(node) else math.inf

    def _is_written(self, node: fx.Node) -> bool:
        """Whether the forward program has the value in memory: some kernel of its own uses it."""
        return not _is_fused(node) or any(
            self._is_written(user) if self.base(user) is node else not _is_fused(user)
            for user in node.users
            if user not in self.relevance
        )


def _is_fused(node: fx.Node) -> bool:
    tags = getattr(node.target, "tags", ())
    view = getattr(node.target, "is_view", False)
    return view or node.target is CAST or torch.Tag.pointwise in tags
