"""Compare a package with its engine at several sizes before the file is kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..capture import Captured
from ..capture.shape_contract import Symbol
from ..errors import LrpError, PackageError
from ..results.explanation import Explanation
from ..run.target import Position, Target
from .expression import evaluate, symbols_in
from .manifest import ROW, WHOLE
from .package import Package

_DISTINCT = (3, 5, 7, 11, 13, 17)
_TRIED_SIZES = range(2, 33)
_NOT_SERVED = (LrpError, RuntimeError, IndexError)


def mix_entries(output: Tensor) -> Tensor:
    """Return a weighted sum of the output in which every entry has its own weight."""
    parts = torch.arange(output.numel(), device=output.device).cos().reshape(output.shape)
    return (output * parts.to(output.dtype)).sum()


class _Question(TypedDict, total=False):
    target: Target
    position: Position


_QUESTIONS: Mapping[str, _Question] = {
    WHOLE: {"target": mix_entries},
    ROW: {"target": 0, "position": -1},
}


@dataclass(frozen=True)
class TrialCase:
    """Inputs, the free sizes of theirs that are 1, and the engine's results by kind of target."""

    inputs: object
    ones: tuple[str, ...]
    expected: Mapping[str, Explanation]


@dataclass(frozen=True)
class PackageTrial:
    """Runs of the engine to compare a package with.

    `explain` is the engine's own, `starts` the kinds of targets that are packaged.
    """

    captured: Captured
    explain: Callable[..., Explanation]
    tolerance: float
    starts: tuple[str, ...]

    def cases(self, leaves: Sequence[object]) -> list[TrialCase]:
        """Run the engine on the inputs, at other sizes of every free axis, and at sizes of 1.

        Sizes that the engine refuses are left out. Where a size is 1, the engine compares its
        results with the model itself.
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

    def compare(self, package: Package, cases: Sequence[TrialCase]) -> None:
        """Raise PackageError unless the package gives what the engine gave."""
        for case in cases:
            for start, expected in case.expected.items():
                found = package.explain(case.inputs, **_QUESTIONS[start])
                compare_explanations(found, expected, self.tolerance)

    def needed_conditions(
        self, package: Package, conditions: Sequence[str], leaves: Sequence[object]
    ) -> list[str]:
        """Return the compiler's conditions without which the package disagrees with the engine.

        Most come from a choice between kernels (a convolution's, by the batch size) that changes no
        number: where sizes that break a condition are served all the same, it is dropped.
        """
        return [c for c in conditions if not self._served_without(package, c, leaves)]

    def _served_without(self, package: Package, condition: str, leaves: Sequence[object]) -> bool:
        names = symbols_in(condition)
        symbols = [s for s in self.captured.shapes.sizes(leaves) if {str(s)} == names]
        against = [
            n for n in _TRIED_SIZES if symbols and not evaluate(condition, {str(symbols[0]): n})
        ]
        if not against:
            return False
        try:
            cases = [self._case(leaves, {symbols[0]: n}) for n in (against[0], against[-1])]
            self.compare(package, cases)
        except _NOT_SERVED:
            return False
        return True

    def _case(self, leaves: Sequence[object], changed: Mapping[Symbol, int]) -> TrialCase:
        resized = _resized(self.captured, leaves, changed)
        inputs = pytree.tree_unflatten(resized, self.captured.in_spec)
        sizes = self.captured.shapes.sizes(resized)
        ones = tuple(sorted(str(s) for s, n in sizes.items() if n == 1))
        expected = {s: self.explain(inputs, **_QUESTIONS[s]) for s in self.starts}
        return TrialCase(inputs, ones, expected)


def with_sizes_above_one(captured: Captured, leaves: Sequence[object]) -> list[object]:
    """Return inputs whose free sizes exceed 1 and differ: torch takes equal sizes for one."""
    changed: dict[Symbol, int] = {}
    for symbol, size in captured.shapes.sizes(leaves).items():
        free = [size, *(n for n in _DISTINCT if n != size)]
        changed[symbol] = next(n for n in free if n > 1 and n not in changed.values())
    return _resized(captured, leaves, changed)


def _resized(
    captured: Captured, leaves: Sequence[object], sizes: Mapping[Symbol, int]
) -> list[object]:
    """Return the inputs at other sizes, cut off or repeated."""
    found = list(leaves)
    for free in captured.shapes.free():
        if free.symbol in sizes:
            leaf = found[free.leaf]
            assert isinstance(leaf, Tensor)
            index = torch.arange(sizes[free.symbol], device=leaf.device) % leaf.shape[free.axis]
            found[free.leaf] = leaf.index_select(free.axis, index)
    return found


def _subsets(symbols: Sequence[Symbol]) -> list[tuple[Symbol, ...]]:
    """List the sets of sizes that can be 1; of many sizes, each alone and all together."""
    counts = range(1, len(symbols) + 1) if len(symbols) <= 3 else (1, len(symbols))
    return [chosen for n in counts for chosen in itertools.combinations(symbols, n)]


def compare_explanations(found: Explanation, expected: Explanation, tolerance: float) -> None:
    """Raise PackageError unless two explanations are equal up to rounding."""
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
