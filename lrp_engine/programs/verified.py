"""Verify a compiled program: on its first call, compare its results with the uncompiled one's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from torch import Tensor, fx

from ..errors import CompilerError
from ..graphs.precision import largest_finite, split_flat
from .program import ProgramFunction
from .rounding import run_perturbed

_PERTURBED_RUNS = 3  # by chance a single number may hardly move in one run


@dataclass
class VerifiedProgram:
    """A compiled program that is compared with the uncompiled one on its first call.

    `slack` is that of the coarsest dtype in the programs: what a value of single precision was
    computed from may have been rounded to half precision, and a compiler leaves such steps out.
    Where values are further apart than that, the uncompiled program is run again with every op
    rounded by chance: a deep model in half precision may amplify rounding that much by itself.
    """

    name: str
    compiled: ProgramFunction
    uncompiled: fx.GraphModule
    slack: float
    verified: bool = False

    def __call__(self, *given: object) -> Sequence[object]:
        """Run the compiled program; the first call raises CompilerError if results disagree."""
        if self.verified:
            return self.compiled(*given)
        expected = _move_to_host(self.uncompiled(*_copy_lists(given)))
        again = _copy_lists(given)  # the compiled program may empty what it is given
        found = self.compiled(*given)
        doubtful = [i for i, e in enumerate(expected) if _difference(found[i], e) > self.slack]
        if doubtful:
            self._require_rounding(doubtful, expected, found, again)
        self.verified = True
        return found

    def _require_rounding(
        self,
        doubtful: Sequence[int],
        expected: Sequence[object],
        found: Sequence[object],
        given: Sequence[object],
    ) -> None:
        """Raise CompilerError unless rounding by itself moves these values as far."""
        arguments = given[0] if isinstance(given[0], list) else given
        spread = dict.fromkeys(doubtful, 0.0)
        for seed in range(_PERTURBED_RUNS):
            moved = run_perturbed(self.uncompiled, *arguments, seed=seed)
            spread = {i: max(s, _difference(moved[i], expected[i])) for i, s in spread.items()}
        for i in doubtful:
            difference = _difference(found[i], expected[i])
            if not difference <= spread[i]:
                raise CompilerError(
                    f"the compiled {self.name} disagrees with the uncompiled one: relative"
                    f" difference {difference:.2g}, of which rounding accounts for at most"
                    f" {spread[i]:.1g}. Use compile=False, or a wider dtype"
                )


def _copy_lists(given: Sequence[object]) -> list[object]:
    return [list(g) if isinstance(g, list) else g for g in given]


def _move_to_host(values: Sequence[object]) -> list[object]:
    """Move tensors to the host's memory, one by one: a GPU may not hold what is kept twice."""
    rest = list(values)[::-1]
    del values
    moved: list[object] = []
    while rest:
        v = rest.pop()
        moved.append(v.cpu() if isinstance(v, Tensor) else v)
    return moved


def _difference(found: object, expected: object) -> float:
    """Return the largest |difference| over the largest |entry|; 0 for what is no such tensor."""
    if not isinstance(expected, Tensor) or not expected.dtype.is_floating_point:
        return 0.0
    assert isinstance(found, Tensor)
    difference, scale = 0.0, 0.0
    for a, b in zip(split_flat(found), split_flat(expected), strict=True):
        there = b.to(a.device)
        difference = max(difference, _largest_difference(a, there))
        scale = max(scale, largest_finite(there))
    return difference / scale if scale else inf if difference else 0.0


def _largest_difference(a: Tensor, b: Tensor) -> float:
    """Return the largest finite |a - b|; infinite if a is not finite where b is."""
    lost = bool((b.isfinite() & ~a.isfinite()).any())
    return inf if lost else largest_finite(a.double() - b.double())
