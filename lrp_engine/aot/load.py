"""A file -> a Package, without compiling anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..canonicalise.masks import MaskClaim, MaskReplacement
from ..capture.signature import Signature
from ..errors import PackageError
from .archive import read_constants, read_manifest
from .machine import same_machine
from .manifest import Manifest, MaskKind, programs_of
from .package import Package, Pair, Run
from .program_set import carriers, laid
from .structure import spec_of


def load_package(path: str | Path) -> Package:
    """Loads what `Engine.package` wrote; nothing is compiled, and the model's code is not needed.

    A package holds native code, which loading it runs: load only what you would also run.

    Raises PackageError if the file is damaged or was not written by `Engine.package`, or was made
    for another version of torch or another kind of machine.
    """
    path = Path(path)
    try:
        return _loaded(path)
    except PackageError as error:
        raise PackageError(f"{path} cannot be loaded as a package: {error}") from error


def _loaded(path: Path) -> Package:
    if not path.is_file():
        raise PackageError("there is no such file")
    manifest = read_manifest(path)
    same_machine(manifest.machine, _device_of(manifest.machine))
    try:
        constants = read_constants(path, manifest)
        runs = {
            name: _run(_loader(path, name, index_of(manifest)), held, manifest.orders[name])
            for name, held in constants.items()
        }
        names = tuple(port.name for port in manifest.inputs)
        return Package(
            manifest=manifest,
            signature=Signature(
                names, spec_of(manifest.input_structure), tuple(manifest.argument_names)
            ),
            pairs={s: Pair(*(runs[name] for name in programs_of(s))) for s in manifest.starts},
            masks=tuple(_claim(mask, runs[mask.program]) for mask in manifest.masks),
        )
    except (RuntimeError, KeyError, ValueError, OSError) as error:
        raise PackageError(f"{type(error).__name__}: {error}") from error


def _device_of(machine: Any) -> str:
    return "cuda" if "CUDA capability" in machine else "cpu"


def index_of(manifest: Manifest) -> int:
    """Which of several GPUs the package was made for; -1 on a CPU."""
    devices = [torch.device(port.device) for port in manifest.inputs if port.device]
    return next((d.index for d in devices if d.index is not None), -1)


def _loader(path: Path, name: str, index: int) -> Any:
    """As `torch._inductor.package.load_package` gets it, which however looks for a C++ compiler to
    find out the processor's vector instructions: that the machine is the same has been checked.
    """
    return torch._C._aoti.AOTIModelPackageLoader(os.fspath(path), name, False, 1, index)


def _run(loader: Any, constants: dict[str, Tensor], orders: Sequence[Sequence[int]]) -> Run:
    """A compiled program; it empties the list of its arguments and reads `constants` in place."""
    if constants:
        # As `AOTICompiledModel.load_constants` does: (constants, inactive, all, in place).
        loader.load_constants(constants, False, True, True)

    def run(values: list[Tensor], _alive: dict[str, Tensor] = constants) -> Sequence[Tensor]:
        for i, order in enumerate(orders):
            values[i] = laid(values[i], order)
        found: Sequence[Tensor] = loader.boxed_run(values)
        return found

    return run


def _claim(mask: MaskKind, run: Run) -> MaskClaim:
    def computed(*sizes: int) -> Tensor:
        return run(list(carriers(sizes, mask.device)))[0]

    return MaskClaim(computed, mask.symbols, MaskReplacement[mask.kind])
