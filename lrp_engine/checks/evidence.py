"""Runs the explanations that the checks look at: once per batch, ledger included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from ..engine import Engine
from ..errors import InputError, TargetError
from ..propagate.ledger import Ledger
from ..run.target import Position, Target
from .finding import Place
from .first_nonfinite import Spoiled, find_spoiled
from .golden import Golden, Kept, kept_of


@dataclass(frozen=True)
class Given:
    """One batch for the model, with its target if it has its own."""

    inputs: Any
    target: Target = None


@dataclass(frozen=True)
class Evidence:
    """What the checks judge.

    `ledgers` has one per batch. `spoiled` is set where the model's own numbers are not finite;
    nothing is explained from there on.
    """

    engine: Engine
    ledgers: tuple[Ledger, ...]
    samples: int
    kept: Kept
    spoiled: Spoiled | None = None
    golden: Golden | None = None

    def place(self, node: str) -> Place | None:
        """The op of an account, by its node's name."""
        nodes = {a.node.name: a.node for a in self.engine.plan.assignments}
        return Place.of(nodes[node]) if node in nodes else None

    def ledger(self) -> Ledger | None:
        """One ledger over all batches."""
        return _summed(self.ledgers) if self.ledgers else None

    def sent(self) -> float:
        """Sum of |R| that set out from the output, over all batches."""
        return sum(ledger.sent for ledger in self.ledgers)


def gather(
    engine: Engine,
    batches: Iterable[Given],
    *,
    position: Position = None,
    golden: Golden | None = None,
) -> Evidence:
    """Explains every batch once; of the relevance itself only what a golden result keeps stays.

    Raises InputError and TargetError for inputs and targets that do not fit.
    """
    ledgers: list[Ledger] = []
    kept, samples = Kept(), 0
    for given in batches:
        try:
            explanation = engine.explain(given.inputs, given.target, position=position, ledger=True)
        except TargetError:
            spoiled = find_spoiled(engine, given.inputs)
            if spoiled is None:
                raise
            return Evidence(engine, tuple(ledgers), samples, kept, spoiled, golden)
        ledgers.append(explanation.ledger)
        samples += int(explanation.explained.numel())
        kept = kept_of(kept, explanation, given.inputs, given.target, position)
    if not ledgers:
        raise InputError("there is no batch to explain")
    return Evidence(engine, tuple(ledgers), samples, kept, None, golden)


def split(given: Given, size: int | None) -> Iterator[Given]:
    """Batches of at most `size` samples along the first axis; all at once without a size."""
    count = samples_of(given.inputs)
    if size is None or count <= size:
        yield given
        return
    for start in range(0, count, size):
        yield Given(
            pytree.tree_map(lambda leaf, at=start: _part(leaf, at, size, count), given.inputs),
            _part_of_target(given.target, start, size, count),
        )


def samples_of(inputs: Any) -> int:
    """How many samples a batch has: the first axis of its first tensor."""
    tensors = [leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)]
    return tensors[0].shape[0] if tensors and tensors[0].dim() else 1


def _part(leaf: Any, start: int, size: int, count: int) -> Any:
    along = isinstance(leaf, Tensor) and leaf.dim() > 0 and leaf.shape[0] == count
    return leaf[start : start + size] if along else leaf


def _part_of_target(target: Target, start: int, size: int, count: int) -> Target:
    per_sample = isinstance(target, (Sequence, Tensor)) and len(target) == count
    return target[start : start + size] if per_sample else target  # type: ignore[index, return-value]


def _summed(ledgers: Sequence[Ledger]) -> Ledger:
    arrived: dict[str, float] = {}
    for ledger in ledgers:
        for name, amount in ledger.arrived.items():
            arrived[name] = arrived.get(name, 0.0) + amount
    return Ledger(
        explained=sum(ledger.explained for ledger in ledgers),
        arrived=arrived,
        accounts=tuple(account for ledger in ledgers for account in ledger.accounts),
        tolerance=ledgers[0].tolerance,
    )
