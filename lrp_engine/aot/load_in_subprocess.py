"""Load a package in a subprocess first: a crash in torch's native loader ends that one only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..errors import PackageError

_LOADS = """
import sys, torch
path, name, index = sys.argv[1:]
torch._C._aoti.AOTIModelPackageLoader(path, name, False, 1, int(index))
"""


def try_loader(path: Path, program: str, index: int) -> None:
    """Raise PackageError if torch crashes on loading a program of a file just made.

    Other failures are left to the load that follows, which names them.
    """
    command = [sys.executable, "-c", _LOADS, os.fspath(path), program, str(index)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode < 0:
        raise PackageError(
            f"torch's loader crashes on the compiled code (signal {-done.returncode}): nothing was"
            " written. Seen where the compiler's C++ library is not the one that torch runs with:"
            " let the environment variable CXX name the system's compiler"
        )
