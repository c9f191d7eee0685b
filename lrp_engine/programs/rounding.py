"""How far rounding alone moves what a program computes: Monte Carlo arithmetic.

Run again with the last place of every op's result changed by chance, a program shows how much of
its results is rounding (D. S. Parker, Monte Carlo Arithmetic, UCLA CSD-970002, 1997).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.utils import _pytree as pytree


def shaken(module: fx.GraphModule, *given: Any, seed: int = 0) -> Sequence[Any]:
    """The program's results, each op's x made x (1 + eps u), u uniform in (-1, 1), entry by entry.

    Zeros, infinities, integers and views stay as they are. The random numbers are its own.
    """
    return _Shaken(module, seed).run(*given)


class _Shaken(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, seed: int) -> None:
        super().__init__(module)
        self._seed = seed
        self._chances: dict[torch.device, torch.Generator] = {}

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        result = super().call_function(target, args, kwargs)
        if not isinstance(target, OpOverload) or target.is_view:
            return result
        return pytree.tree_map_only(Tensor, self._rounded, result)

    def _rounded(self, x: Tensor) -> Tensor:
        if not x.dtype.is_floating_point:
            return x
        if x.device not in self._chances:
            self._chances[x.device] = torch.Generator(x.device).manual_seed(self._seed)
        wide = torch.promote_types(x.dtype, torch.float32)
        u = torch.empty_like(x, dtype=wide).uniform_(-1, 1, generator=self._chances[x.device])
        moved = x.addcmul(x, u, value=torch.finfo(x.dtype).eps).to(x.dtype)
        return torch.where(moved.isfinite(), moved, x)
