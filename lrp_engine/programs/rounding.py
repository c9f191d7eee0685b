"""Measure how far rounding alone moves a program's results: Monte Carlo arithmetic.

Run again with the last place of every op's result changed by chance, a program shows how much of
its results is rounding (D. S. Parker, Monte Carlo Arithmetic, UCLA CSD-970002, 1997).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.utils import _pytree as pytree


def run_perturbed(module: fx.GraphModule, *given: object, seed: int = 0) -> Sequence[object]:
    """Run a program with the result x of each op made x (1 + eps u), u uniform in (-1, 1).

    Zeros, infinities, integers and views stay as they are. Torch's own random numbers are not
    touched: `seed` seeds a generator per device.
    """
    results: Sequence[object] = _PerturbedRun(module, seed).run(*given)
    return results


class _PerturbedRun(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, seed: int) -> None:
        super().__init__(module)
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def call_function(
        self,
        target: fx.node.Target,
        args: tuple[fx.node.Argument, ...],
        kwargs: Mapping[str, fx.node.Argument],
    ) -> object:
        result: object = super().call_function(target, args, dict(kwargs))
        if not isinstance(target, OpOverload) or target.is_view:
            return result
        return pytree.tree_map_only(Tensor, self._perturb, result)

    def _perturb(self, x: Tensor) -> Tensor:
        if not x.dtype.is_floating_point:
            return x
        if x.device not in self._generators:
            self._generators[x.device] = torch.Generator(x.device).manual_seed(self._seed)
        wide = torch.promote_types(x.dtype, torch.float32)
        u = torch.empty_like(x, dtype=wide).uniform_(-1, 1, generator=self._generators[x.device])
        moved = x.addcmul(x, u, value=torch.finfo(x.dtype).eps).to(x.dtype)
        return torch.where(moved.isfinite(), moved, x)
