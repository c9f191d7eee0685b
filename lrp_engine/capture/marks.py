"""Undo what torch notes on the tensors that it is shown.

An export that fails leaves its notes behind: sizes that it took for free stay free in the next one,
also where that is the user's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.utils import _pytree as pytree


@contextmanager
def preserve_marks(inputs: object) -> Iterator[None]:
    """Leave the attributes of a tree's tensors as they were."""
    tensors = [leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)]
    before = [dict(vars(tensor)) for tensor in tensors]
    try:
        yield
    finally:
        for tensor, attributes in zip(tensors, before, strict=True):
            vars(tensor).clear()
            vars(tensor).update(attributes)
