"""Describe the installation and machine that compiled code depends on."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import torch

from ..errors import PackageError


def describe_machine(device: str) -> dict[str, str]:
    """Return versions and kinds of processor, for programs that run on a device."""
    found = {
        "torch": torch.__version__,
        "system": platform.system(),
        "processor": platform.machine(),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
    }
    if torch.device(device).type == "cuda":
        major, minor = torch.cuda.get_device_capability() if torch.cuda.is_available() else (0, 0)
        found["CUDA capability"] = f"{major}.{minor}" if major else "no CUDA device"
    return found


def require_same_machine(made_on: Mapping[str, str], device: str) -> None:
    """Raise PackageError, naming every difference, if code compiled there cannot run here."""
    here = describe_machine(device)
    other = [
        f"{what}: {made_on.get(what)} there, {here.get(what)} here"
        for what in {**made_on, **here}
        if made_on.get(what) != here.get(what)
    ]
    if other:
        raise PackageError(
            "its native code was compiled for another installation or machine"
            f" ({'; '.join(other)}): package the model here"
        )
