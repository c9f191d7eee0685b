"""Average explanations over a set of references, as DeepSHAP does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import InputError
from ..propagate.ledger import Account, Ledger
from ..results.explanation import Explanation
from ..show.labels import Labels
from .reference import batch_size

Repeat = Callable[[Any], Any]
Explain = Callable[[Any, Any, Repeat], list[Explanation]]


@dataclass(frozen=True)
class Background:
    """A set of references to average over.

    Args:
        samples: Of the inputs' structure, (references, ...) for each input's (batch, ...).
        at_once: How many pairs of a sample and a reference are computed together.

    Example:
        >>> import torch, lrp_engine as lrp
        >>> engine = lrp.Engine(torch.nn.Linear(4, 3).eval(), torch.ones(1, 4), preset="delta")
        >>> background = lrp.Background(torch.zeros(5, 4))
        >>> engine.explain(torch.ones(2, 4), 0, reference=background).relevance["input"].shape
        torch.Size([2, 4])
    """

    samples: Any
    at_once: int = 32

    def __post_init__(self) -> None:
        if self.at_once < 1:
            raise InputError(f"Background(at_once={self.at_once}): at least 1 is needed")
        if len(self) < 1:
            raise InputError("a Background without samples has no mean: give at least one")

    def __len__(self) -> int:
        """Return how many references there are."""
        return batch_size(pytree.tree_leaves(self.samples))

    def parts(self, size: int) -> Iterator[Any]:
        """Yield the references, `size` of them at a time."""
        for start in range(0, len(self), size):
            yield _on_tensors(partial(_slice, start=start, end=start + size), self.samples)


def explain_background(explain: Explain, inputs: Any, background: Background) -> list[Explanation]:
    """Explain against every reference and average: relevance, explained number and ledger.

    Args:
        explain: Called as `explain(inputs, reference, repeat)` with as many samples as there are
            pairs; `repeat` gives a target or a position for all of them. Returns one explanation
            per target.
        inputs: What the model is called with.
        background: The references.

    Returns:
        One explanation per target. Relevance and coefficients are means over the references; so is
        the explained number, which is f(x) less the mean of f over the references.
    """
    samples = batch_size(pytree.tree_leaves(inputs))
    means: list[_Mean] = []
    for part in background.parts(max(1, background.at_once // samples)):
        count = batch_size(pytree.tree_leaves(part))
        pairs = _on_tensors(partial(torch.repeat_interleave, repeats=count, dim=0), inputs)
        reference = _on_tensors(partial(_tile, times=samples), part)
        found = explain(pairs, reference, partial(_repeat, times=count, samples=samples))
        means = means or [_Mean(samples, len(background)) for _ in found]
        for mean, one in zip(means, found, strict=True):
            mean.add(one)
    return [mean.explanation() for mean in means]


def _tile(x: Tensor, times: int) -> Tensor:
    return x.repeat(times, *[1] * (x.dim() - 1))


def _slice(x: Tensor, start: int, end: int) -> Tensor:
    return x[start:end]


def _on_tensors(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    def apply(leaf: Any) -> Any:
        return function(leaf) if isinstance(leaf, Tensor) and leaf.dim() else leaf

    return pytree.tree_map(apply, tree)


def _repeat(choice: Any, times: int, samples: int) -> Any:
    """Return a target or position for so many references per sample."""
    if isinstance(choice, Tensor) and choice.dim() and choice.shape[0] == samples:
        return choice.repeat_interleave(times, 0)
    if isinstance(choice, Sequence) and not isinstance(choice, str):
        return [entry for entry in choice for _ in range(times)]
    return choice


class _Mean:
    """The running mean of explanations of `samples` samples over `references` references."""

    def __init__(self, samples: int, references: int) -> None:
        self.samples, self.references = samples, references
        self.parts: list[Explanation] = []
        self.sums: dict[str, dict[str, Tensor]] = {"relevance": {}, "coefficient": {}}
        self.explained: Tensor | None = None
        self.output: Any = None
        self.labels: Labels | None = None

    def add(self, part: Explanation) -> None:
        """Add the explanation of every sample against some references."""
        for kind, sums in self.sums.items():
            found: Mapping[str, Tensor] = getattr(part, kind)
            for name, value in found.items():
                total = self._over_references(value)
                sums[name] = sums[name] + total if name in sums else total
        explained = self._over_references(part.explained)
        self.explained = explained if self.explained is None else self.explained + explained
        if self.output is None:
            each = part.explained.shape[0] // self.samples
            self.output = _on_tensors(lambda t: t[::each], part.output)
            self.labels = part.labels.sample(slice(None, None, each))
        rest: dict[str, Any] = {"stored_output": None, "require_finite": None}
        self.parts.append(replace(part, relevance={}, coefficient={}, **rest))

    def _over_references(self, value: Tensor) -> Tensor:
        return value.reshape(self.samples, -1, *value.shape[1:]).sum(1)

    def explanation(self) -> Explanation:
        """Return the mean."""
        assert self.explained is not None
        known = all(part.stored_ledger is not None for part in self.parts)
        return replace(
            self.parts[0],
            stored_output=self.output,
            explained=self.explained / self.references,
            relevance={n: v / self.references for n, v in self.sums["relevance"].items()},
            coefficient={n: v / self.references for n, v in self.sums["coefficient"].items()},
            stored_ledger=self.ledger() if known else None,
            compute_ledger=self.ledger,
            compute_output=None,
            stored_labels=self.labels,
            compute_labels=None,
        )

    def ledger(self) -> Ledger:
        """Return the mean of the parts' ledgers."""
        return _mean_ledger([part.ledger for part in self.parts], self.references)


def _mean_ledger(ledgers: Sequence[Ledger], references: int) -> Ledger:
    """Return the sums of ledgers, divided by the number of references."""
    first = ledgers[0]
    accounts = zip(*(ledger.accounts for ledger in ledgers), strict=True)
    return replace(
        first,
        explained=sum(ledger.explained for ledger in ledgers) / references,
        arrived={
            name: sum(ledger.arrived[name] for ledger in ledgers) / references
            for name in first.arrived
        },
        accounts=tuple(_mean_account(several, references) for several in accounts),
    )


def _mean_account(several: Sequence[Account], references: int) -> Account:
    first = several[0]
    sums = {
        name: sum(getattr(account, name) for account in several) / references
        for name in ("received", "passed", "size_received", "size_passed")
    }
    causes = {cause for account in several for cause in account.absorbed}
    absorbed = {
        cause: sum(account.absorbed.get(cause, 0.0) for account in several) / references
        for cause in causes
    }
    return replace(first, absorbed=absorbed, **sums)
