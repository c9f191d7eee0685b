"""Compile one program to native code by AOTInductor; every free size stays free."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import PackageError
from .program_set import ProgramSource
from .sizes import SymbolicArguments

# Constants are left out of the code: those that several programs read are stored once.
_WITHOUT_CONSTANTS = {
    "aot_inductor.package": True,
    "aot_inductor.package_constants_in_so": False,
    "aot_inductor.package_constants_on_disk_format": "pickle_weights",
}
_NO_COMPILER = (
    "no working C++ compiler was found ({why}). Packaging needs one (g++ or clang++; CXX names"
    " another); loading a package does not."
)


# (storage, offset) or an object's id, dtype, shape, stride: equal keys mean the same numbers.
MemoryKey = tuple[Hashable, ...]


@dataclass(frozen=True)
class CompiledProgram:
    """The files of native code, their constants, and the conditions on sizes that they rely on.

    A constant comes with the key of the memory that it was found in.
    """

    files: tuple[str, ...]
    constants: Mapping[str, tuple[MemoryKey, Tensor]]
    conditions: tuple[str, ...]
    orders: tuple[tuple[int, ...], ...]


def compile_program(
    name: str, source: ProgramSource, settings: Mapping[str, object]
) -> CompiledProgram:
    """Compile one program. Raises PackageError if torch cannot."""
    sizes = SymbolicArguments.of(source)
    inputs = source.module.graph.find_nodes(op="placeholder")
    try:
        with torch.no_grad():
            for node, fake in zip(inputs, sizes.fakes, strict=True):
                node.meta["val"] = fake  # that is where AOTInductor looks for free sizes
            made: Any = torch._inductor.aot_compile(
                source.module, sizes.fakes, options={**settings, **_WITHOUT_CONSTANTS}
            )
    except Exception as error:  # torch raises many kinds
        if type(error).__name__ in ("InvalidCxxCompiler", "CppCompileError"):
            raise PackageError(_NO_COMPILER.format(why=_first_line(error))) from error
        raise PackageError(
            f"torch could not compile the program {name!r} ahead of time:"
            f" {type(error).__name__}: {_first_line(error)}"
        ) from error
    files = [os.fspath(f) for f in made if isinstance(f, (str, os.PathLike))]
    stored = [f for f in made if isinstance(f, dict)]
    constants = {key: _constant(*entry) for held in stored for key, entry in held.items()}
    return CompiledProgram(tuple(files), constants, sizes.conditions(name), source.orders)


def _constant(tensor: Tensor, lies: Any) -> tuple[MemoryKey, Tensor]:
    """Key a constant by the original's memory: torch may give a copy of it."""
    shape, stride = tuple(lies.shape), tuple(lies.stride)
    if tensor.stride() != stride or tensor.shape != shape:
        tensor = torch.empty_strided(shape, stride, dtype=tensor.dtype, device=tensor.device).copy_(
            tensor
        )
    place = id(tensor) if lies.storage_ptr is None else (lies.storage_ptr, lies.offset)
    return (place, tensor.dtype, shape, stride), tensor.detach()


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "")
