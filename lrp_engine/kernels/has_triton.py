"""Look for Triton, which torch brings along for GPUs only, and say where its kernels run."""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch


@cache
def has_triton() -> bool:
    """Return whether Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def running_on(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which kernels start on this GPU; on a CPU Triton interprets them."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
