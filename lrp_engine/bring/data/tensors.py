"""Take tensors and arrays as they are, and read files of arrays."""

from __future__ import annotations

import re
from collections import UserDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ...boundary.arrays import read_npy, read_npz, read_pt, read_safetensors
from ...errors import InputError

NUMBERED: re.Pattern[str] = re.compile(r"(?:arg|arr|input)_?(\d+)")
READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    ".npz": read_npz,
    ".npy": read_npy,
    ".safetensors": lambda path: read_safetensors(path).tensors,
    ".pt": read_pt,
}


def holds_tensors(data: Any) -> bool:
    """Return whether data hold tensors, so that they are what the model is called with."""
    if isinstance(data, UserDict):
        data = dict(data)
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(data))


def holds_arrays(data: Any) -> bool:
    """Return whether data consist of arrays of NumPy alone: one, a tuple, or a mapping."""
    leaves = pytree.tree_leaves(data)
    return bool(leaves) and all(isinstance(leaf, (np.ndarray, np.generic)) for leaf in leaves)


def as_tensors(data: Any, like: torch.dtype | None) -> Any:
    """Return arrays, and tensors of files, as tensors; float64, NumPy's default, as `like`.

    Raises:
        InputError: an array holds no numbers, or bytes where the model computes with floats.
    """
    if isinstance(data, list) and holds_arrays(data):
        data = _stack(data)
    return pytree.tree_map(lambda leaf: _as_tensor(leaf, like), data)


def _stack(arrays: list[Any]) -> Any:
    """Return one array per sample as one of all. Raises InputError if their shapes differ."""
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise InputError(f"arrays of several shapes make no batch: {sorted(shapes)[:3]}")
    return np.stack(arrays)


def _as_tensor(leaf: Any, like: torch.dtype | None) -> Any:
    if isinstance(leaf, (np.ndarray, np.generic)):
        try:
            leaf = torch.from_numpy(np.ascontiguousarray(leaf).reshape(leaf.shape))
        except TypeError as error:
            raise InputError(f"an array of {leaf.dtype} entries holds no numbers") from error
    if like is not None and isinstance(leaf, Tensor) and leaf.dtype == torch.float64:
        return leaf.to(like)
    return leaf


def read_arrays(path: Path) -> Any:
    """Return the content of a file of arrays: one, or a mapping by name. Raises InputError."""
    arrays = READERS[path.suffix.lower()](path)
    if not arrays:
        raise InputError(f"{path} holds no array")
    numbered = {int(m[1]): a for name, a in arrays.items() if (m := NUMBERED.fullmatch(name))}
    if set(numbered) == set(range(len(arrays))):
        return tuple(numbered[i] for i in range(len(numbered)))
    return arrays


def is_array_file(thing: Any) -> bool:
    """Return whether something is the path of a file of arrays."""
    return isinstance(thing, (str, Path)) and Path(thing).suffix.lower() in READERS


def count_samples(data: Any) -> int:
    """Return the size of the first axis, which all tensors share. Raises InputError otherwise."""
    sizes = {leaf.shape[0] for leaf in _tensors(data) if leaf.dim()}
    if len(sizes) != 1:
        raise InputError(
            f"the inputs have no common first axis (sizes {sorted(sizes)}), so that they cannot be"
            " explained in batches: give them batch by batch"
        )
    return sizes.pop()


def slice_samples(data: Any, start: int, end: int) -> Any:
    """Return some samples of a tensor, a tuple, or a mapping of tensors."""

    def cut(leaf: Any) -> Any:
        return leaf[start:end] if isinstance(leaf, Tensor) and leaf.dim() else leaf

    return pytree.tree_map(cut, _plain(data))


def _tensors(data: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(_plain(data)) if isinstance(leaf, Tensor)]


def _plain(data: Any) -> Any:
    return dict(data) if isinstance(data, (Mapping, UserDict)) else data
