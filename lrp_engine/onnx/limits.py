"""Limit what a file may ask for before it runs: bytes of folded constants, nodes, iterations.

A file of 146 bytes can ask for gigabytes of constants, or for a loop of a billion iterations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch._ops import OpOverload
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
    """An amount that is spent bit by bit and cannot be overdrawn.

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
        """Spend `amount`. Raises OnnxFileError, before anything is done, if it is too much."""
        if self.spent + amount > self.limit:
            raise OnnxFileError(
                f"{what} would bring the {self.unit} to {self.spent + amount:,}; "
                f"{self.limit:,} are allowed"
            )
        self.spent += amount


def folding_quota(weight_bytes: int) -> Quota:
    """Return the quota of constants computed at import: 1 GiB and four times the file's weights."""
    return Quota(
        "bytes of folded constants", MAX_FOLDED_BYTES + FOLDED_PER_WEIGHT_BYTE * weight_bytes
    )


def unrolling_quota() -> Quota:
    """Return the quota of nodes of the module that the file becomes."""
    return Quota("nodes", MAX_NODES)


def check_iterations(count: int, name: str) -> int:
    """Return the iterations of a loop to unroll. Raises OnnxFileError if there are too many."""
    if count > MAX_ITERATIONS:
        raise OnnxFileError(
            f"loop {name!r} runs {count:,} times; at most {MAX_ITERATIONS:,} are unrolled"
        )
    return max(count, 0)


class AllocationGuard(TorchDispatchMode):
    """Size every torch op before it runs, and charge its result to a quota.

    Raises OnnxFileError in place of the allocation that would overdraw the quota.

    Example:
        >>> with AllocationGuard(Quota("bytes", 1000), "node 'zeros'"):
        ...     torch.zeros(10**9)
        Traceback (most recent call last):
        lrp_engine.errors.OnnxFileError: node 'zeros' would bring the bytes to 4,000,000,000; ...
    """

    def __init__(self, quota: Quota, what: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._quota = quota
        self._what = what

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = dict(kwargs or {})
        self._quota.spend(_bytes_allocated(func, args, kwargs), self._what)
        return func(*args, **kwargs)


def _bytes_allocated(func: OpOverload, args: tuple[object, ...], kwargs: dict[str, object]) -> int:
    """Return the bytes of the results, worked out without data.

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


def _bytes(values: tuple[object, ...]) -> int:
    tensors = [v for v in values if isinstance(v, Tensor)]
    return sum(math.prod(int(n) for n in t.shape) * t.dtype.itemsize for t in tensors)
