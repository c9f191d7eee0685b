"""A package is tried before it is kept: at several sizes it has to give what its engine gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..capture import Captured
from ..errors import LrpError, PackageError
from ..results.explanation import Explanation
from .expression import evaluate, names_in
from .manifest import ROW, WHOLE
from .package import Package

_DISTINCT = (3, 5, 7, 11, 13, 17)
_TRIED = range(2, 33)
_NOT_SERVED = (LrpError, RuntimeError, IndexError)


def mixture(output: Tensor) -> Tensor:
    """A number in which every entry of the output has its own part."""
    parts = torch.arange(output.numel(), device=output.device).cos().reshape(output.shape)
    return (output * parts.to(output.dtype)).sum()


_QUESTIONS: Mapping[str, Mapping[str, Any]] = {
    WHOLE: {"target": mixture},
    ROW: {"target": 0, "position": -1},
}


@dataclass(frozen=True)
class Case:
    """Inputs, which of their free sizes are 1, and what the engine says, by the kind of target."""

    inputs: Any
    ones: tuple[str, ...]
    expected: Mapping[str, Explanation]


@dataclass(frozen=True)
class Trial:
    """Runs of the engine to compare with. `explain` is its own, `starts` what is packaged."""

    captured: Captured
    explain: Callable[..., Explanation]
    tolerance: float
    starts: tuple[str, ...]

    def cases(self, leaves: Sequence[Any]) -> list[Case]:
        """The user's inputs, another size of every free axis, and sizes of 1 if they are served.

        The engine compares with the model itself wherever a size is 1.
        """
        sizes = self.captured.shapes.sizes(leaves)
        first = self._case(leaves, {})
        others = [{s: n - 1 if n > 2 else n + 1 for s, n in sizes.items()}] if sizes else []
        found = [first]
        for changed in others + [dict.fromkeys(ones, 1) for ones in _subsets(list(sizes))]:
            try:
                found.append(self._case(leaves, changed))
            except _NOT_SERVED:
                continue  # the engine does not serve these sizes: neither will the package
        return found

    def hold(self, package: Package, cases: Sequence[Case]) -> None:
        """Raises PackageError unless the package gives what the engine gave."""
        for case in cases:
            for start, expected in case.expected.items():
                found = package.explain(case.inputs, **_QUESTIONS[start])
                compare(found, expected, self.tolerance)

    def needed(
        self, package: Package, conditions: Sequence[str], leaves: Sequence[Any]
    ) -> list[str]:
        """Those conditions of the compiler without which the package does not give what it should.

        Most come from a choice between kernels (a convolution's, by the batch size) that changes no
        number: where sizes that break a condition are served all the same, it is dropped.
        """
        return [c for c in conditions if not self._served_without(package, c, leaves)]

    def _served_without(self, package: Package, condition: str, leaves: Sequence[Any]) -> bool:
        names = names_in(condition)
        symbols = [s for s in self.captured.shapes.sizes(leaves) if {str(s)} == names]
        against = [n for n in _TRIED if symbols and not evaluate(condition, {str(symbols[0]): n})]
        if not against:
            return False
        try:
            cases = [self._case(leaves, {symbols[0]: n}) for n in (against[0], against[-1])]
            self.hold(package, cases)
        except _NOT_SERVED:
            return False
        return True

    def _case(self, leaves: Sequence[Any], changed: Mapping[Any, int]) -> Case:
        resized = _resized(self.captured, leaves, changed)
        inputs = pytree.tree_unflatten(resized, self.captured.in_spec)
        sizes = self.captured.shapes.sizes(resized)
        ones = tuple(sorted(str(s) for s, n in sizes.items() if n == 1))
        expected = {s: self.explain(inputs, **_QUESTIONS[s]) for s in self.starts}
        return Case(inputs, ones, expected)


def above_one(captured: Captured, leaves: Sequence[Any]) -> list[Any]:
    """The inputs with every free size above 1 and no two alike: equal sizes are taken for one."""
    changed: dict[Any, int] = {}
    for symbol, size in captured.shapes.sizes(leaves).items():
        free = [size, *(n for n in _DISTINCT if n != size)]
        changed[symbol] = next(n for n in free if n > 1 and n not in changed.values())
    return _resized(captured, leaves, changed)


def _resized(captured: Captured, leaves: Sequence[Any], sizes: Mapping[Any, int]) -> list[Any]:
    """The inputs at other sizes: cut off, or begun again."""
    found = list(leaves)
    for free in captured.shapes.free():
        if free.symbol in sizes:
            leaf = found[free.leaf]
            index = torch.arange(sizes[free.symbol], device=leaf.device) % leaf.shape[free.axis]
            found[free.leaf] = leaf.index_select(free.axis, index)
    return found


def _subsets(symbols: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Every way in which sizes can be 1; of many sizes, each alone and all together."""
    counts = range(1, len(symbols) + 1) if len(symbols) <= 3 else (1, len(symbols))
    return [chosen for n in counts for chosen in itertools.combinations(symbols, n)]


def compare(found: Explanation, expected: Explanation, tolerance: float) -> None:
    """Raises PackageError unless two explanations are the same but for rounding."""
    pairs = {"the explained number": (found.explained, expected.explained)}
    for name in expected.relevance:
        pairs[f"relevance of {name!r}"] = (found.relevance[name], expected.relevance[name])
        pairs[f"coefficient of {name!r}"] = (found.coefficient[name], expected.coefficient[name])
    for what, (mine, theirs) in pairs.items():
        if mine.shape != theirs.shape:
            raise PackageError(f"{what} has shape {list(mine.shape)}, not {list(theirs.shape)}")
        scale = float(theirs.double().abs().max()) if theirs.numel() else 0.0
        apart = float((mine.double() - theirs.double()).abs().max()) if theirs.numel() else 0.0
        if not apart <= tolerance * scale:
            raise PackageError(
                f"the compiled programs differ from the engine in {what} by {apart:.2g} of"
                f" {scale:.2g}: nothing was written. If this preset is known to amplify rounding,"
                " allow it with tolerance=..., or package the model in a wider dtype"
            )
