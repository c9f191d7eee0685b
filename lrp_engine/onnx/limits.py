"""How much a file may ask for before it runs: bytes of folded constants, unrolled nodes, turns.

A file of 146 bytes can ask for gigabytes of constants, or for a loop of a billion turns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import OnnxFileError

MAX_FOLDED_BYTES = 1 << 30  # beside four times the weights that the file itself brings
FOLDED_PER_WEIGHT_BYTE = 4
MAX_NODES = 250_000  # after loops are unrolled and functions expanded
MAX_ITERATIONS = 4096


@dataclass
class Quota:
    """An amount that is spent bit by bit and refuses to be overdrawn.

    Example:
        >>> nodes = Quota("nodes", 100)
        >>> nodes.spend(60, "loop 'a'")
        >>> nodes.spend(60, "loop 'a'")
        Traceback (most recent call last):
        lrp_engine.errors.OnnxFileError: loop 'a' would bring the nodes to 120; 100 are allowed
    """

    unit: str
    limit: int
    spent: int = field(default=0)

    def spend(self, amount: int, what: str) -> None:
        """Takes `amount`. Raises OnnxFileError, before anything is done, if it is too much."""
        if self.spent + amount > self.limit:
            raise OnnxFileError(
                f"{what} would bring the {self.unit} to {self.spent + amount:,}; "
                f"{self.limit:,} are allowed"
            )
        self.spent += amount


def folding_quota(weight_bytes: int) -> Quota:
    """For constants computed at import: 1 GiB, and four times what the file brings itself."""
    return Quota(
        "bytes of folded constants", MAX_FOLDED_BYTES + FOLDED_PER_WEIGHT_BYTE * weight_bytes
    )


def unrolling_quota() -> Quota:
    """For the nodes of the module that the file becomes."""
    return Quota("nodes", MAX_NODES)


def check_iterations(turns: int, name: str) -> int:
    """The turns of a loop that is to be unrolled. Raises OnnxFileError if there are too many."""
    if turns > MAX_ITERATIONS:
        raise OnnxFileError(
            f"loop {name!r} runs {turns:,} times; at most {MAX_ITERATIONS:,} are unrolled"
        )
    return max(turns, 0)


class AllocationGuard(TorchDispatchMode):
    """While this is active, every torch op is sized before it runs, and its result paid for.

    Raises OnnxFileError in place of the allocation that would overdraw the budget.

    Example:
        >>> with AllocationGuard(Quota("bytes", 1000), "node 'zeros'"):
        ...     torch.zeros(10**9)
        Traceback (most recent call last):
        lrp_engine.errors.OnnxFileError: node 'zeros' would bring the bytes to 4,000,000,000; ...
    """

    def __init__(self, budget: Quota, what: str) -> None:
        super().__init__()
        self._budget = budget
        self._what = what

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        self._budget.spend(_bytes_allocated(func, args, kwargs), self._what)
        return func(*args, **kwargs)


def _bytes_allocated(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Bytes of the results, worked out without data.

    A view takes no memory, but one that repeats entries would keep the next op busy: it is
    charged for what it holds beyond its operand.
    """
    given = _bytes(tuple(pytree.tree_leaves((args, kwargs))))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake_args, fake_kwargs = pytree.tree_map_only(Tensor, mode.from_tensor, (args, kwargs))
        try:
            out = func(*fake_args, **fake_kwargs)
        except torch._subclasses.fake_tensor.DynamicOutputShapeException:
            return given  # nonzero and its kin
        except torch._subclasses.fake_tensor.DataDependentOutputException:
            return 0  # a number is read
    size = _bytes(tuple(pytree.tree_leaves(out)))
    return max(size - given, 0) if func.is_view else size


def _bytes(values: tuple[Any, ...]) -> int:
    tensors = [v for v in values if isinstance(v, Tensor)]
    return sum(math.prod(int(n) for n in t.shape) * t.dtype.itemsize for t in tensors)
