"""One program -> native code, by AOTInductor, with every free size left free."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import PackageError
from .program_set import Source
from .sizes import Sizes

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


@dataclass(frozen=True)
class Compiled:
    """The files of native code, the constants they need, and what they rely on.

    A constant comes with the key of the memory that it was found in.
    """

    files: tuple[str, ...]
    constants: Mapping[str, tuple[tuple[Any, ...], Tensor]]
    conditions: tuple[str, ...]
    orders: tuple[tuple[int, ...], ...]


def compiled(name: str, source: Source, settings: Mapping[str, Any]) -> Compiled:
    """Compiles one program; raises PackageError if torch cannot."""
    sizes = Sizes.of(source)
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
    return Compiled(tuple(files), constants, sizes.relied_on(name), source.orders)


def _constant(tensor: Tensor, lies: Any) -> tuple[tuple[Any, ...], Tensor]:
    """Torch may give a copy; where the original lies says which constants are the same."""
    shape, stride = tuple(lies.shape), tuple(lies.stride)
    if tensor.stride() != stride or tensor.shape != shape:
        tensor = torch.empty_strided(shape, stride, dtype=tensor.dtype, device=tensor.device).copy_(
            tensor
        )
    place = id(tensor) if lies.storage_ptr is None else (lies.storage_ptr, lies.offset)
    return (place, tensor.dtype, shape, stride), tensor.detach()


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "")
