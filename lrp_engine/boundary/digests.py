"""Digest tensors and texts, by which a file shows that it is as written; pack tensors as JSON."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_PACKED = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
}


def bytes_of(tensor: Tensor) -> bytes:
    """Return a tensor's shape, and its entries bit by bit."""
    return str(tuple(tensor.shape)).encode() + _bits(tensor)


def _bits(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().flatten()
    found: bytes = flat.view(torch.uint8).numpy().tobytes()
    return found


def digest_of(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    """Return the SHA-256 of tensors (name, dtype, shape, every bit) and of texts, by name.

    Example:
        >>> digest_of({"a": torch.ones(2)}, {}) == digest_of({"a": torch.ones(2, 1)}, {})
        False
    """
    digest = hashlib.sha256()
    parts = [(f"text {k}", "", text.encode()) for k, text in texts.items()]
    parts += [(f"tensor {k}", str(t.dtype), bytes_of(t)) for k, t in tensors.items()]
    for name, dtype, content in sorted(parts):
        # Lengths keep one part's end from reading as the next one's beginning.
        digest.update(f"{len(name)} {name} {dtype} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()


def pack(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, object]]:
    """Write tensors as plain data for JSON: dtype, shape, and every bit in base64."""
    return {
        name: {
            "dtype": str(t.dtype).removeprefix("torch."),
            "shape": list(t.shape),
            "bits": base64.b64encode(_bits(t)).decode(),
        }
        for name, t in tensors.items()
    }


def unpack(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    """Return the tensors that `pack` wrote. Raises ValueError or KeyError for other data."""
    found = {}
    for name, part in data.items():
        bits = bytearray(base64.b64decode(part["bits"], validate=True))
        flat = torch.frombuffer(bits, dtype=_PACKED[part["dtype"]]) if bits else torch.empty(0)
        found[name] = flat.to(_PACKED[part["dtype"]]).reshape(part["shape"])
    return found
