"""Run a function in a forked process under limits of time and memory; keep what it said last."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

Say = Callable[[dict[str, Any]], None]


def isolate(run: Callable[[Say], None], limit: float, memory: float) -> dict[str, Any]:
    """Return the last thing that `run` said, and how its process ended if not by itself.

    Args:
        run: Is given a function by which it tells what is known so far.
        limit: Seconds of computing time; six times as long by the clock, for a busy machine.
        memory: GiB of address space.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(run, theirs, limit, memory))
    process.start()
    theirs.close()
    said: dict[str, Any] = {}
    end = time.monotonic() + 6 * limit
    while (left := end - time.monotonic()) > 0 and ours.poll(left):
        try:
            said = ours.recv()
        except EOFError:
            break
    else:
        os.kill(process.pid or 0, signal.SIGKILL)
        said |= {"error": "TimeLimit", "message": f"took longer than {limit:.0f} s", "raw": False}
    process.join()
    if process.exitcode == -signal.SIGXCPU or (process.exitcode == -9 and not said.get("error")):
        said |= {"error": "TimeLimit", "message": f"took longer than {limit:.0f} s", "raw": False}
    if process.exitcode and not said.get("error"):
        ended = f"the process ended with {process.exitcode}"
        said |= {"error": "Crash", "message": ended, "raw": True}
    return said


def _child(run: Callable[[Say], None], pipe: Connection, limit: float, memory: float) -> None:
    most = int(memory * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (round(limit), round(limit)))
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    run(lambda told: pipe.send(dict(told)))
    pipe.close()
