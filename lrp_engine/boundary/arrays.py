"""Read named arrays from files: npz, safetensors, and torch's own files without pickle."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError, LrpError
from .reading import reading

_EXPANDED = 1 << 32  # bytes that a small compressed file may expand to
_EXPANDED_PER_BYTE = 16


class StoredTensors(NamedTuple):
    """The tensors of a safetensors file, and the texts of its header."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_safetensors(
    path: str | Path, error: type[LrpError] = InputError, what: str = ""
) -> StoredTensors:
    """Return the content of a safetensors file. Raises `error` for a file that is none."""
    from safetensors import safe_open

    with reading(path, error, what) as file, safe_open(file, framework="pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        return StoredTensors(tensors, opened.metadata() or {})


def read_npz(path: str | Path, error: type[LrpError] = InputError) -> dict[str, Tensor]:
    """Return the arrays of an npz file of NumPy's; arrays of objects, which are pickled, are not.

    Raises `error` for a file that is none, or that expands to much more than it has.
    """
    import numpy as np

    with reading(path, error) as file:
        with zipfile.ZipFile(file) as archive:
            _refuse_bomb(archive, file)
        with np.load(file, allow_pickle=False) as arrays:
            return {name: _tensor(arrays[name], name) for name in arrays.files}


def read_npy(path: str | Path, error: type[LrpError] = InputError) -> dict[str, Tensor]:
    """Return the one array of an npy file of NumPy's as `arg0`. Raises `error` for another file."""
    import numpy as np

    with reading(path, error) as file:
        return {"arg0": _tensor(np.load(file, allow_pickle=False), "the file")}


def read_pt(path: str | Path, error: type[LrpError] = InputError) -> dict[str, Tensor]:
    """Return the tensors of a file of `torch.save`: one, a sequence, or named ones.

    Only tensors and plain containers are read; what needs pickle is refused.
    """
    with reading(path, error) as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                _refuse_bomb(archive, file)
        content = torch.load(file, weights_only=True, map_location="cpu")
        if isinstance(content, Tensor):
            return {"arg0": content}
        if isinstance(content, (tuple, list)):
            content = {f"arg{i}": value for i, value in enumerate(content)}
        if not isinstance(content, Mapping) or not all(map(_is_named_tensor, content.items())):
            raise ValueError("it must hold a tensor, a sequence of them, or named tensors")
        return dict(content)


def _is_named_tensor(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _tensor(array: object, name: str) -> Tensor:
    import numpy as np

    if not isinstance(array, np.ndarray):  # a member of the archive that is no array
        raise ValueError(f"{name!r} is no array")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    try:
        return torch.from_numpy(np.ascontiguousarray(native).reshape(native.shape))
    except TypeError as fault:
        raise ValueError(f"{name!r} has entries of type {array.dtype}, not numbers") from fault


def _refuse_bomb(archive: zipfile.ZipFile, file: Path) -> None:
    expanded = sum(member.file_size for member in archive.infolist())
    allowed = max(_EXPANDED, _EXPANDED_PER_BYTE * file.stat().st_size)
    if expanded > allowed:
        raise ValueError(f"it expands to {expanded:,} bytes, at most {allowed:,} are read")
