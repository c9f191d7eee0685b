"""Read and write a package file: a .pt2 archive of torch with constants and a manifest added."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import PackageError
from .compile import CompiledProgram, MemoryKey
from .manifest import (
    Manifest,
    StoredConstant,
    dtype_name,
    parse_dtype,
    parse_manifest,
)

_MANIFEST = "extra/lrp_engine.json"
_NUMBERS = "data/lrp_engine/"
_CODE = "data/aotinductor/"


@contextmanager
def replace_when_done(path: Path) -> Iterator[Path]:
    """Yield a temporary file of the same name, which replaces `path` if no error is raised."""
    if path.suffix != ".pt2":
        raise PackageError(f"{path.name!r} does not end in .pt2, as torch's packages do")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
    try:
        yield folder / path.name
        os.replace(folder / path.name, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_archive(path: Path, programs: Mapping[str, CompiledProgram], manifest: Manifest) -> None:
    """Write code, constants (each once) and the manifest, which lists where constants are."""
    records: dict[MemoryKey, str] = {}
    held: dict[str, dict[str, StoredConstant]] = {}
    from torch.export.pt2_archive import PT2ArchiveWriter  # loads torch._dynamo: seconds

    with PT2ArchiveWriter(os.fspath(path)) as archive:
        for program, made in programs.items():
            for file in made.files:
                archive.write_file(f"{_CODE}{program}/{os.path.basename(file)}", file)
            held[program] = {}
            for name, (key, tensor) in made.constants.items():
                if key not in records:
                    records[key] = f"{_NUMBERS}{len(records)}"
                    archive.write_bytes(records[key], _bytes(tensor))
                held[program][name] = _stored(records[key], tensor)
        archive.write_string(_MANIFEST, replace(manifest, held=held).text())


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a file. Raises PackageError if `Engine.package` did not write it."""
    from torch.export.pt2_archive import PT2ArchiveReader

    try:
        with PT2ArchiveReader(os.fspath(path)) as archive:
            text = archive.read_string(_MANIFEST)
    except Exception as error:  # torch raises many kinds for a file that it cannot read
        raise PackageError("it is damaged, or not written by Engine.package()") from error
    return parse_manifest(text)


def read_constants(path: Path, manifest: Manifest) -> dict[str, dict[str, Tensor]]:
    """Read the constants of every program; shared ones are in memory once per device."""
    from torch.export.pt2_archive import PT2ArchiveReader

    known: dict[tuple[str, str, str], Tensor] = {}
    with PT2ArchiveReader(os.fspath(path)) as archive:

        def tensor(stored: StoredConstant) -> Tensor:
            key = (stored.record, stored.dtype, stored.device)
            if key not in known:
                flat = _flat(archive.read_bytes(stored.record), parse_dtype(stored.dtype))
                known[key] = flat.to(stored.device)
            return known[key].as_strided(stored.shape, stored.stride)

        return {
            program: {name: tensor(stored) for name, stored in held.items()}
            for program, held in manifest.held.items()
        }


def _stored(record: str, tensor: Tensor) -> StoredConstant:
    return StoredConstant(
        record,
        dtype_name(tensor.dtype),
        str(tensor.device),
        tuple(tensor.shape),
        tuple(tensor.stride()),
    )


def _bytes(tensor: Tensor) -> bytes:
    """Return the memory from a tensor's first entry to its last."""
    extent = 0
    if tensor.numel():
        extent = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    flat = tensor.as_strided((extent,), (1,)).contiguous().cpu()
    found: bytes = flat.view(torch.uint8).numpy().tobytes()
    return found


def _flat(data: bytes, dtype: torch.dtype) -> Tensor:
    """Return a one-dimensional tensor that owns its (aligned) memory."""
    flat = torch.empty(len(data), dtype=torch.uint8, device="cpu")
    flat.numpy()[:] = np.frombuffer(data, np.uint8)
    return flat.view(dtype)
