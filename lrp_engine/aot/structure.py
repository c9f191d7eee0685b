"""Describe nested containers of inputs and outputs as plain data.

A class of the model's own (an output class of transformers, say) is described as a dictionary, or
as a list: where the package is loaded it need not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils import _pytree as pytree

from ..capture.signature import children_of
from ..errors import PackageError

_LEAF = "*"
Structure = Any  # "*", or [kind, keys, parts], whose parts are structures: data of JSON


def describe(spec: pytree.TreeSpec) -> Structure:
    """Return `"*"` for a leaf and [kind, keys, parts] for a container."""
    if spec.is_leaf():
        return _LEAF
    parts = [describe(child) for child in children_of(spec)]
    if spec.type in (tuple, list):
        return [spec.type.__name__, None, parts]
    keys = list(spec.context) if isinstance(spec.context, (list, tuple)) else []
    if len(keys) == len(parts) and all(isinstance(key, (str, int)) for key in keys):
        return ["dict", keys, parts]
    return ["list", None, parts]


def describe_exactly(spec: pytree.TreeSpec) -> Structure:
    """Describe containers. Raises PackageError if any is not a tuple, list or dictionary."""
    found = describe(spec)
    if spec_of(found) != spec:
        raise PackageError(
            "the model's inputs hold more than tuples, lists and dictionaries of tensors, which a"
            f" package cannot take: {spec}. Wrap the model in a module that takes plain tensors."
        )
    return found


def build(description: Structure, leaves: Iterator[object]) -> object:
    """Build the containers that are described, with leaves in order."""
    if description == _LEAF:
        return next(leaves)
    kind, keys, parts = description
    values = [build(part, leaves) for part in parts]
    if kind == "dict":
        return dict(zip(keys, values, strict=True))
    return tuple(values) if kind == "tuple" else values


def spec_of(description: Structure) -> pytree.TreeSpec:
    """Return the spec that `tree_flatten` gives for these containers."""
    return pytree.tree_structure(build(description, iter(int, 1)))
