"""Processes that compile at the same time and time one after another.

Each makes ready by itself, waits until all have, and then has the machine alone while it is timed.
One that ends early must be counted as ready by whoever started it: `touch FOLDER/NAME`.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(folder: Path | None, members: int, name: str, patience: float = 420) -> Iterator[None]:
    """Waits for the others, at most `patience` seconds from FOLDER/start on, then for a turn."""
    if folder is None:
        yield
        return
    (folder / name).touch()
    started = (folder / "start").stat().st_mtime
    while _ready(folder) < members and time.time() - started < patience:
        time.sleep(0.5)
    print(f"{name}: {_ready(folder)} of {members} are ready", flush=True)
    with (folder / "start").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _ready(folder: Path) -> int:
    return sum(1 for path in folder.iterdir() if path.name != "start")
