"""Run the explanations that the checks look at: once per batch, ledger included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from ..engine import Engine
from ..errors import InputError, NotFiniteError, TargetError
from ..propagate.ledger import Ledger
from ..run.finiteness import ADVICE
from ..run.target import Position, Target
from .finding import Place
from .first_nonfinite import NonFinite, find_first_nonfinite
from .golden import Golden, KeptRelevance, keep_batch
from .row_sums import RowSums, add_rows

SEED = 0  # of the draws of models that draw random numbers


@dataclass(frozen=True)
class Given:
    """One batch for the model, with its target and position if it has its own."""

    inputs: Any  # a tensor, a tuple of arguments, or keyword arguments
    target: Target = None
    position: Position = None


@dataclass(frozen=True)
class Evidence:
    """The results that the checks judge.

    `ledgers` has one per batch. `nonfinite` is set if the model's own values, or relevance, are not
    finite; the batches after it are not explained. `rows` says by source how relevance is spread.
    """

    engine: Engine
    ledgers: tuple[Ledger, ...]
    samples: int
    kept: KeptRelevance
    nonfinite: NonFinite | None = None
    golden: Golden | None = None
    rows: Mapping[str, RowSums] = field(default_factory=dict)

    def reader(self, source: str) -> Place | None:
        """Return the first op that reads a source; None if the plan has no such source."""
        plan = self.engine.plan
        node = next((port.node for port in plan.sources if port.name == source), None)
        readers = (a.node for a in plan.assignments if node in a.node.all_input_nodes)
        return next(map(Place.of, readers), None)

    def place(self, node: str) -> Place | None:
        """Return the op of an account by its node's name; None if the plan has no such node."""
        nodes = {a.node.name: a.node for a in self.engine.plan.assignments}
        return Place.of(nodes[node]) if node in nodes else None

    def ledger(self) -> Ledger | None:
        """Return one ledger summed over all batches; None if there is no batch."""
        return _summed(self.ledgers) if self.ledgers else None

    def sent(self) -> float:
        """Return the sum of |R| that left the output, over all batches."""
        return sum(ledger.sent for ledger in self.ledgers)


def gather(
    engine: Engine,
    batches: Iterable[Given],
    *,
    position: Position = None,
    golden: Golden | None = None,
) -> Evidence:
    """Explain every batch once, and keep the ledgers and the relevance that a golden result needs.

    Raises:
        InputError: there is no batch, or inputs do not fit the model.
        TargetError: a target does not fit the output.
    """
    ledgers: list[Ledger] = []
    kept, samples = KeptRelevance(), 0
    rows: dict[str, RowSums] = {}
    for given in batches:
        place = position if given.position is None else given.position
        try:
            explanation = engine.explain(
                given.inputs, given.target, position=place, ledger=True, seed=SEED
            )
        except (TargetError, NotFiniteError) as error:
            nonfinite = _find_nonfinite(engine, given, error)
            if nonfinite is None:
                raise
            return Evidence(engine, tuple(ledgers), samples, kept, nonfinite, golden, rows)
        ledgers.append(explanation.ledger)
        samples += int(explanation.explained.numel())
        rows = add_rows(rows, explanation)
        kept = keep_batch(kept, explanation, given.inputs, given.target, place)
    if not samples:
        raise InputError("there is no sample to explain, so that nothing would be checked")
    return Evidence(engine, tuple(ledgers), samples, kept, None, golden, rows)


def _find_nonfinite(
    engine: Engine, given: Given, error: TargetError | NotFiniteError
) -> NonFinite | None:
    """Return where values, or relevance, first were not finite; None if the target is at fault."""
    if isinstance(error, TargetError):
        return find_first_nonfinite(engine, given.inputs)
    nodes = {a.node.name: a.node for a in engine.plan.assignments}
    place = Place.of(nodes[error.node]) if error.node in nodes else None
    return NonFinite(str(error).removesuffix(ADVICE).rstrip(), place, in_relevance=True)


def split(given: Given, size: int | None) -> Iterator[Given]:
    """Yield parts of at most `size` samples along the first axis; the whole without a size."""
    count = samples_of(given.inputs)
    if size is None or count <= size:
        yield given
        return
    for start in range(0, count, size):
        yield Given(
            pytree.tree_map(lambda leaf, at=start: _part(leaf, at, size, count), given.inputs),
            _part_of_target(given.target, start, size, count),
        )


def samples_of(inputs: object) -> int:
    """Return the number of samples of a batch: the first axis of its first tensor."""
    tensors = [leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)]
    return tensors[0].shape[0] if tensors and tensors[0].dim() else 1


def _part(leaf: object, start: int, size: int, count: int) -> object:
    if isinstance(leaf, Tensor) and leaf.dim() > 0 and leaf.shape[0] == count:
        return leaf[start : start + size]
    return leaf


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
