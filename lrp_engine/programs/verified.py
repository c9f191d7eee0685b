"""The proof that a compiler left a program what it is: its first results are the plain one's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from torch import Tensor, fx

from ..errors import CompilerError
from ..graphs.precision import largest, pieces
from .program import Run
from .rounding import shaken

_SHAKES = 3  # by chance a single number may hardly move in one run


@dataclass
class Tried:
    """A compiled program that is compared with the plain one when it first runs.

    `slack` is that of the coarsest dtype in the programs: what a value of single precision was
    computed from may have been rounded to half precision, and a compiler leaves such steps out.
    Where values are further apart than that, the plain program is run again with every op rounded
    by chance: a deep model in half precision may amplify rounding that much by itself.
    """

    name: str
    run: Run
    plain: fx.GraphModule
    slack: float
    tried: bool = False

    def __call__(self, *given: Any) -> Sequence[Any]:
        """Raises CompilerError on the first call, if the results are not the plain program's."""
        if self.tried:
            return self.run(*given)
        expected = _put_aside(self.plain(*_copied(given)))
        again = _copied(given)  # the compiled program may empty what it is given
        found = self.run(*given)
        doubtful = [i for i, e in enumerate(expected) if _apart(found[i], e) > self.slack]
        if doubtful:
            self._suspect(doubtful, expected, found, again)
        self.tried = True
        return found

    def _suspect(
        self, doubtful: list[int], expected: list[Any], found: Sequence[Any], given: Sequence[Any]
    ) -> None:
        """Raises CompilerError unless rounding by itself moves these values as far."""
        arguments = given[0] if isinstance(given[0], list) else given
        spread = dict.fromkeys(doubtful, 0.0)
        for seed in range(_SHAKES):
            moved = shaken(self.plain, *arguments, seed=seed)
            spread = {i: max(s, _apart(moved[i], expected[i])) for i, s in spread.items()}
        for i in doubtful:
            apart = _apart(found[i], expected[i])
            if not apart <= spread[i]:
                raise CompilerError(
                    f"torch.compile made something else of the {self.name}: results differ by"
                    f" {apart:.2g} of the largest, rounding explains {spread[i]:.1g}. Leave"
                    " compile=False, or compile the model in a wider dtype"
                )


def _copied(given: Sequence[Any]) -> list[Any]:
    return [list(g) if isinstance(g, list) else g for g in given]


def _put_aside(values: Sequence[Any]) -> list[Any]:
    """Into the host's memory, one by one: a GPU may not hold what is kept twice."""
    rest = list(values)[::-1]
    del values
    aside = []
    while rest:
        v = rest.pop()
        aside.append(v.cpu() if isinstance(v, Tensor) else v)
    return aside


def _apart(mine: Any, theirs: Any) -> float:
    """The largest |difference|, in units of the largest |entry|; 0 for what is no such tensor."""
    if not isinstance(theirs, Tensor) or not theirs.dtype.is_floating_point:
        return 0.0
    apart, scale = 0.0, 0.0
    for a, b in zip(pieces(mine), pieces(theirs), strict=True):
        there = b.to(a.device)
        apart, scale = max(apart, _between(a, there)), max(scale, largest(there))
    return apart / scale if scale else inf if apart else 0.0


def _between(a: Tensor, b: Tensor) -> float:
    """The largest finite |a - b|; infinite if a is not finite where b is."""
    lost = bool((b.isfinite() & ~a.isfinite()).any())
    return inf if lost else largest(a.double() - b.double())
