"""Find, check and map weights that lie beside the model; they are never copied.

A file may come from anywhere, so what it says about other files is not trusted: only regular files
below the model's own folder are opened, reached without a link of either kind.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import torch
from onnx import TensorProto
from torch import Tensor

from ..errors import OnnxFileError

_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})
_LINK_HELP = (
    "; links could lead outside the model's folder. Copy the real files side by side (for the "
    "Hugging Face hub: download with `local_dir=`)"
)


@dataclass(frozen=True)
class MappedFile:
    """A file and its bytes, mapped privately: reading is lazy, writing never reaches the file."""

    path: Path
    data: Tensor

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return self.data.numel()


@dataclass(frozen=True)
class ByteSpan:
    """`length` bytes at `offset` of the file at `location`; None means up to where it ends."""

    location: str
    offset: int
    length: int | None


MappedFiles = Mapping[str, MappedFile]


def span_of(tensor: TensorProto) -> ByteSpan:
    """Return where a tensor says that its bytes are. Raises OnnxFileError if that is unclear."""
    entries: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key not in _KEYS:
            continue
        if entry.key in entries:
            raise OnnxFileError(f"weight {tensor.name!r} gives its {entry.key} twice")
        entries[entry.key] = entry.value
    if "location" not in entries:
        raise OnnxFileError(f"weight {tensor.name!r} is external but names no file")
    offset = _number(tensor, "offset", entries.get("offset", "0"))
    length = _number(tensor, "length", entries["length"]) if "length" in entries else None
    return ByteSpan(entries["location"], offset, length)


def _number(tensor: TensorProto, key: str, text: str) -> int:
    if len(text) > 20 or not (text.isascii() and text.isdigit()):
        raise OnnxFileError(f"weight {tensor.name!r} has {text[:40]!r} as its {key}")
    return int(text)


def find_beside(folder: Path, location: str) -> Path:
    """Find the regular file at `location` below `folder`, with no link on the way; read nothing.

    Raises OnnxFileError for absolute paths, paths that leave the folder, symbolic and hard links,
    devices, pipes, and files that are not there.
    """
    parts = _inner_parts(location)
    path = folder
    for part in parts:
        path = path / part
        try:
            info = path.lstat()
        except (OSError, ValueError) as error:
            raise OnnxFileError(f"the weight file {location!r} is not there") from error
        if stat.S_ISLNK(info.st_mode):
            raise OnnxFileError(f"the weight file {location!r} is a symbolic link{_LINK_HELP}")
    if not stat.S_ISREG(info.st_mode):
        raise OnnxFileError(f"the weight file {location!r} is not a regular file")
    if info.st_nlink > 1:
        raise OnnxFileError(f"the weight file {location!r} is a hard link{_LINK_HELP}")
    return path


def _inner_parts(location: str) -> tuple[str, ...]:
    """Return the parts of a relative path. Raises OnnxFileError if POSIX or Windows lets it out."""
    unsafe = (
        "\0" in location
        or "\\" in location
        or len(location) > 4096
        or PurePosixPath(location).is_absolute()
        or PureWindowsPath(location).drive
        or PureWindowsPath(location).root
    )
    parts = PurePosixPath(location).parts
    if unsafe or not parts or ".." in parts:
        raise OnnxFileError(f"the weight file {location[:80]!r} lies outside the model's folder")
    return parts


def map_file(path: Path) -> MappedFile:
    """Map the whole file as a tensor of bytes: this takes address space, not memory."""
    size = os.stat(path).st_size
    if not size:
        return MappedFile(path, torch.empty(0, dtype=torch.uint8))
    try:
        data = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
    except RuntimeError as error:
        raise OnnxFileError(f"{path.name} ({size:,} bytes) cannot be mapped: {error}") from error
    return MappedFile(path, data)


def read_span(file: MappedFile, offset: int, length: int, element: int) -> Tensor:
    """Return bytes of a file: mapped where they are aligned for elements of that size, else read.

    Args:
        file: The file.
        offset: Where the bytes begin.
        length: How many there are.
        element: The size of one element in bytes.

    Returns:
        A uint8 tensor of shape (length,).
    """
    if offset % element == 0:
        return file.data[offset : offset + length]
    out = torch.empty(length, dtype=torch.uint8)
    with open(file.path, "rb") as stream:
        stream.seek(offset)
        if stream.readinto(out.numpy().data) != length:
            raise OnnxFileError(f"{file.path.name} was changed while it was read")
    return out
