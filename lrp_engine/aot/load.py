"""Load a package from a file, without compiling anything."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..boundary.reading import fault_text
from ..canonicalise.masks import MaskClaim, MaskReplacement
from ..capture.signature import Signature
from ..errors import PackageError
from .archive import read_constants, read_manifest
from .machine import require_same_machine
from .manifest import Manifest, PackagedMask, program_names
from .package import CompiledCall, CompiledPair, Package
from .program_set import lay_out, make_carriers
from .structure import spec_of


class _Loader(Protocol):
    """The methods of torch's AOTIModelPackageLoader that are called here."""

    def load_constants(
        self, constants: dict[str, Tensor], inactive: bool, check_all: bool, in_place: bool, /
    ) -> None: ...

    def boxed_run(self, values: list[Tensor], /) -> Sequence[Tensor]: ...


def load_package(path: str | Path) -> Package:
    """Load what `Engine.package` wrote; nothing is compiled, and the model's code is not needed.

    A package holds native code, which loading it runs: load only files that you trust.

    Args:
        path: The .pt2 file.

    Returns:
        A package that explains as the engine that wrote it.

    Raises:
        PackageError: the file is damaged or was not written by `Engine.package`, or was made for
            another version of torch or another kind of machine.
    """
    path = Path(path)
    try:
        return _load(path)
    except Exception as error:  # torch raises many kinds for a file that it cannot read
        raise PackageError(f"{path} cannot be loaded as a package: {fault_text(error)}") from error


def _load(path: Path) -> Package:
    if not path.is_file():
        raise PackageError("there is no such file")
    manifest = read_manifest(path)
    require_same_machine(manifest.machine, _device_of(manifest.machine))
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
        pairs={
            s: CompiledPair(*(runs[name] for name in program_names(s))) for s in manifest.starts
        },
        masks=tuple(_claim(mask, runs[mask.program]) for mask in manifest.masks),
    )


def _device_of(machine: Mapping[str, str]) -> str:
    return "cuda" if "CUDA capability" in machine else "cpu"


def index_of(manifest: Manifest) -> int:
    """Return the index of the GPU that the package was made for; -1 on a CPU."""
    devices = [torch.device(port.device) for port in manifest.inputs if port.device]
    return next((d.index for d in devices if d.index is not None), -1)


def _loader(path: Path, name: str, index: int) -> _Loader:
    """Return torch's loader of a program.

    `torch._inductor.package.load_package` would look for a C++ compiler to find out the processor's
    vector instructions, which have been compared already.
    """
    loader: _Loader = torch._C._aoti.AOTIModelPackageLoader(os.fspath(path), name, False, 1, index)
    return loader


def _run(
    loader: _Loader, constants: dict[str, Tensor], orders: Sequence[Sequence[int]]
) -> CompiledCall:
    """Wrap a compiled program as a function that empties the list of its arguments.

    The program reads `constants` in place.
    """
    if constants:
        # As `AOTICompiledModel.load_constants` does: (constants, inactive, all, in place).
        loader.load_constants(constants, False, True, True)

    def run(values: list[Tensor], _alive: dict[str, Tensor] = constants) -> Sequence[Tensor]:
        for i, order in enumerate(orders):
            values[i] = lay_out(values[i], order)
        return loader.boxed_run(values)

    return run


def _claim(mask: PackagedMask, run: CompiledCall) -> MaskClaim:
    def computed(*sizes: int) -> Tensor:
        return run(list(make_carriers(sizes, mask.device)))[0]

    return MaskClaim(computed, mask.symbols, MaskReplacement[mask.kind])
