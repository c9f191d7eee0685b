"""Put dense tensors in the places of a model's sparse ones while it is captured.

Torch cannot trace sparse tensors. A sparse constant, such as the adjacency matrix of a graph
network, has the same products as a dense one; that it is still the same is compared at every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CaptureError

_LARGEST = 2**27  # entries of one matrix
_COO_PARTS, _ROW_PARTS = ("_indices", "_values"), ("crow_indices", "col_indices", "values")
_PARTS: Mapping[torch.layout, tuple[str, ...]] = {
    torch.sparse_coo: _COO_PARTS,
    torch.sparse_csr: _ROW_PARTS,
    torch.sparse_bsr: _ROW_PARTS,
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


@dataclass(frozen=True)
class TakenDense:
    """A sparse tensor that was taken for a dense one, where it lies, and what was in it."""

    name: str
    home: Mapping[str, object]
    key: str
    tensor: Tensor
    parts: tuple[Tensor, ...]

    def change(self) -> str | None:
        """Return what has changed; None if the same entries are there."""
        if self.home.get(self.key) is not self.tensor:
            return f"the sparse tensor {self.name!r} was replaced by another"
        same = all(map(torch.equal, parts_of(self.tensor), self.parts))
        return None if same else f"the entries of the sparse tensor {self.name!r} are others"


def parts_of(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return indices and values of a sparse tensor."""
    return tuple(getattr(tensor, name)() for name in _PARTS[tensor.layout])


@contextmanager
def take_sparse_for_dense(*roots: nn.Module) -> Iterator[tuple[TakenDense, ...]]:
    """Exchange the sparse tensors of modules for dense ones within the block.

    The caller puts the attributes back. Torch's products for sparse matrices take dense ones, too.

    Raises CaptureError if one is too large.
    """
    found = tuple(_sparse_in(roots[0]))
    dense = {id(taken.tensor): _dense(taken) for taken in found}
    for home in (home for root in roots for m in root.modules() for home in _homes(m)):
        for key, tensor in list(home.items()):
            if id(tensor) in dense:
                home[key] = dense[id(tensor)]
    yield found


def _homes(module: nn.Module) -> tuple[dict[str, Any], ...]:
    return (vars(module), module._buffers, module._parameters)


def _sparse_in(root: nn.Module) -> Iterator[TakenDense]:
    for path, module in root.named_modules():
        for home in _homes(module):
            for key, tensor in home.items():
                if isinstance(tensor, Tensor) and tensor.layout in _PARTS:
                    name = f"{path}.{key}" if path else key
                    parts = tuple(part.detach().clone() for part in parts_of(tensor))
                    yield TakenDense(name, home, key, tensor, parts)


def _dense(taken: TakenDense) -> Tensor:
    tensor = taken.tensor
    if tensor.numel() > _LARGEST:
        raise CaptureError(
            f"the sparse tensor {taken.name!r}, {tuple(tensor.shape)}, is too large to be taken for"
            " a dense one. Write its product by index_select, a product with the values and"
            " index_add"
        )
    made = tensor.detach().to_dense()
    return nn.Parameter(made, requires_grad=False) if isinstance(tensor, nn.Parameter) else made
