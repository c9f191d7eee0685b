"""Write files in one piece: a file is whole, as it was before, or not there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, LrpError

if TYPE_CHECKING:
    from torch import Tensor


def require_ending(
    path: str | Path, endings: Collection[str], error: type[LrpError] = InputError
) -> Path:
    """Return the path; raise `error` unless it ends as files of this kind do.

    Example:
        >>> require_ending("map.npz", [".safetensors"])
        Traceback (most recent call last):
        lrp_engine.errors.InputError: map.npz: what is written is a .safetensors file; name it so
    """
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise error(f"{path}: what is written is a {' or '.join(endings)} file; name it so")
    return path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a new file to write, which takes the place of `path` if no error is raised.

    The folders above are made. The new file lies in a folder of its own beside `path`, so that a
    full disk or an interrupt leaves what was there. It gets the mode that any new file would get.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
    try:
        made = folder / path.name
        made.touch()
        mode = made.stat().st_mode  # 0666 less the umask; some writers make files of mode 0600
        yield made
        made.chmod(mode & 0o777)
        _flush(made)
        os.replace(made, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file in one piece, and return its path."""
    with replacing(path) as file:
        file.write_text(text, encoding="utf-8")
    return Path(path)


def write_safetensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> Path:
    """Write a safetensors file in one piece, and return its path. Raises OSError."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # safetensors refuses tensors that share memory.
    whole = {name: t.detach().contiguous().clone() for name, t in tensors.items()}
    with replacing(path) as file:
        try:
            save_file(whole, file, dict(metadata))
        except SafetensorError as fault:
            raise OSError(str(fault)) from fault
    return Path(path)


def _flush(file: Path) -> None:
    """Wait until the content is on the disk: a rename may otherwise arrive before it."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
