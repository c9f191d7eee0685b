"""Edge scores: every upstream component to every downstream input, as one batched product.

The residual stream adds up what the embedding, every head and every MLP write into it, and every
head's query, key and value, every MLP and the output read from it. For upstream u and downstream d

    score(u -> d) = sum over positions and features of c_d * (clean - corrupt result of u),

with c_d the part of the residual stream's coefficient that comes through d alone. Coefficients
add up over the readers, so the edges out of u sum to the score of u.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor, fx

from ..errors import InputError, SourceError
from ..graphs.nodes import value
from .blocks import Block, Branch
from .circuit_model import CircuitModel
from .downstream import stack, suffix
from .estimators import (
    Both,
    Estimator,
    both_runs,
    coefficients,
    estimator,
)
from .pairs import Pairs
from .reader_paths import segments, starts_of
from .scores import Direction
from .sites import wide


class Reads(Enum):
    """What a downstream input is."""

    QUERY = "q"
    KEY = "k"
    VALUE = "v"
    MLP = "mlp"
    OUTPUT = "logits"


@dataclass(frozen=True)
class Writer:
    """An upstream component: `order` is its place in the residual stream, from -1 (the input)."""

    name: str
    order: int
    head: int | None = None


@dataclass(frozen=True)
class ReaderInput:
    """A downstream input: it sees every writer whose order is below its own."""

    name: str
    order: int
    reads: Reads
    head: int | None = None

    @property
    def component(self) -> str:
        """The component that the input belongs to: `a5.h3` of `a5.h3<q>`."""
        return self.name.partition("<")[0]


@dataclass(frozen=True)
class EdgeScores:
    """`values` has shape (batch, writer, reader), 0 where `possible` says there is no edge.

    `by_position`, (position, writer, reader), is the mean over prompts, position by position: what
    a component writes at a position is read at that position. It sums to the mean of `values`.
    """

    estimator: str
    direction: Direction
    writers: tuple[Writer, ...]
    readers: tuple[ReaderInput, ...]
    values: Tensor
    by_position: Tensor
    possible: Tensor
    clean: Tensor
    corrupt: Tensor

    def mean(self) -> Tensor:
        """(writer, reader), averaged over prompts."""
        return self.values.mean(0)

    def __len__(self) -> int:
        """How many edges there are."""
        return int(self.possible.sum())

    def above(self, threshold: float) -> Iterator[tuple[str, str, float]]:
        """(writer, reader, mean score) of every edge of at least that absolute score."""
        mean = self.mean()
        for u, d in torch.nonzero((mean.abs() >= threshold) & self.possible).tolist():
            yield self.writers[u].name, self.readers[d].name, float(mean[u, d])

    def top(self, count: int = 10) -> list[tuple[str, str, float]]:
        """The edges of largest absolute mean score, largest first."""
        return sorted(self.above(0.0), key=lambda edge: -abs(edge[2]))[:count]

    def out_of(self) -> dict[str, float]:
        """Sum of the mean scores of all edges out of each writer: its node score."""
        sums = self.mean().sum(1).tolist()
        return {w.name: total for w, total in zip(self.writers, sums, strict=True)}


def edge_scores(
    model: CircuitModel,
    pairs: Pairs,
    *,
    estimator: str | Estimator = "relp",
    direction: Direction | str = Direction.DENOISE,
) -> EdgeScores:
    """Scores every edge between components (positions summed), per prompt.

    Raises SourceError if the model has no residual stream of attention and MLP blocks, or one that
    is normalised between blocks (post-norm), where "what a component writes" is not a sum.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> model, pairs = ioi_subject()
        >>> edges = edge_scores(model, pairs)
        >>> len(edges)
        479
    """
    direction, chosen = Direction(direction), _estimator(estimator)
    branches = checked_branches(model)
    both = both_runs(model, pairs, _written(branches), direction)
    writers, results = _results(model, both, branches)
    readers = readers_of(model, branches, both)
    values, by_position = None, None
    for point in chosen.points:
        one = Estimator(chosen.name, (point,), chosen.cites, chosen.about)
        product, places = _product(results, _read(model, pairs, both, branches, one))
        values = product if values is None else values + product
        by_position = places if by_position is None else by_position + places
    assert values is not None
    assert by_position is not None
    possible = _possible(writers, readers)
    clean, corrupt = both.clean_and_corrupt(pairs)
    return EdgeScores(
        estimator=chosen.name,
        direction=direction,
        writers=writers,
        readers=readers,
        values=values * possible,
        by_position=by_position * possible,
        possible=possible,
        clean=clean,
        corrupt=corrupt,
    )


_estimator = estimator


def checked_branches(model: CircuitModel) -> tuple[Branch, ...]:
    """The blocks of a model whose residual stream is a plain sum; raises SourceError else."""
    branches = model.structure.branches
    if not branches:
        raise SourceError("no residual stream with attention and MLP blocks was found: no edges")
    ends = {b.after for b in branches} | {branches[0].skip}
    for b in branches:
        if b.skip not in ends and b.skip is not branches[0].skip:
            raise SourceError(
                f"the residual stream is changed between blocks, before {b.path}: what a component"
                " writes does not reach later ones as a sum, so edges are not defined. Score"
                " components instead."
            )
        if b.kind is Block.ATTENTION and b.heads is None:
            raise SourceError(f"the heads of {b.path} could not be told apart: no edges")
    return branches


def _written(branches: Sequence[Branch]) -> list[fx.Node]:
    """What is compared between the runs: the stream's start, each z, each MLP's output."""
    found = [branches[0].skip]
    found += [b.heads.z if b.heads is not None else b.out for b in branches]
    return found


def _results(
    model: CircuitModel, both: Both, branches: Sequence[Branch]
) -> tuple[tuple[Writer, ...], Tensor]:
    """Every writer with clean - corrupt of what it writes: (writer, batch, position, feature)."""
    writers, results = [Writer("input", -1)], [both.delta(branches[0].skip)]
    for order, b in enumerate(branches):
        if b.heads is None:
            writers.append(Writer(f"m{b.layer}", order))
            results.append(both.delta(b.out))
            continue
        for head, result in enumerate(_head_results(model, both, b)):
            writers.append(Writer(f"a{b.layer}.h{head}", order, head))
            results.append(result)
    return tuple(writers), torch.stack(results)


def _head_results(model: CircuitModel, both: Both, b: Branch) -> Iterator[Tensor]:
    """What each head alone changes in the block's output: the other heads stay as in the base."""
    assert b.heads is not None
    rest = model.remember(
        ("result", b.out),
        lambda: suffix(model.graph, [b.heads.z], [b.out], model.graph.inputs[0].node),
    )
    base, other = both.base_values[b.heads.z], both.other_values[b.heads.z]
    heads, batch = base.shape[1], base.shape[0]
    stacked = stack(base, heads + 1)
    for head in range(heads):
        stacked[head * batch : (head + 1) * batch, head] = other[:, head]
    _, boundary = model.activations(rest.boundary, both.base)
    (together,) = rest.run(both.base, boundary, [stacked], heads + 1)
    outs = wide(together).split(batch)
    for head in range(heads):
        change = outs[head] - outs[-1]
        yield change if both.direction is Direction.DENOISE else -change


def readers_of(
    model: CircuitModel, branches: Sequence[Branch], both: Both
) -> tuple[ReaderInput, ...]:
    """Every downstream input in the order of the columns."""
    found = []
    places = {b.after: order + 1 for order, b in enumerate(branches)} | {branches[0].skip: 0}
    for b in branches:
        order = places.get(b.reads, 0)
        if b.heads is None:
            found.append(ReaderInput(f"m{b.layer}", order, Reads.MLP))
            continue
        heads = both.base_values[b.heads.z].shape[1]
        for kind in (Reads.QUERY, Reads.KEY, Reads.VALUE):
            for head in range(heads):
                name = f"a{b.layer}.h{head}<{kind.value}>"
                found.append(ReaderInput(name, order, kind, head))
    return (*found, ReaderInput("logits", len(branches), Reads.OUTPUT))


def _possible(writers: Sequence[Writer], readers: Sequence[ReaderInput]) -> Tensor:
    return torch.tensor([[w.order < r.order for r in readers] for w in writers])


def _product(results: Tensor, read: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
    """What is written times what is read, summed over features.

    (batch, writer, reader) summed over positions, (position, writer, reader) averaged over prompts.
    """
    written = results.permute(1, 2, 0, 3)
    found = [written @ part.permute(1, 2, 3, 0) for part in read]
    return torch.cat([f.sum(1) for f in found], -1), torch.cat([f.mean(0) for f in found], -1)


def _read(
    model: CircuitModel,
    pairs: Pairs,
    both: Both,
    branches: Sequence[Branch],
    one: Estimator,
) -> Iterator[Tensor]:
    """The coefficient that each reader alone sends into the stream, block by block:
    (reader, batch, position, feature)."""
    ((t, _, preset),) = one.points
    ends = [n for b in branches for n in starts_of(b)]
    found = coefficients(model, pairs, both, one, (*ends, model.output.node))
    leaves = list(both.base)
    for i in model.embedding_places() if t else ():
        leaves[i] = torch.lerp(both.base[i], both.other[i], t)
    back = segments(model, preset, branches).run(leaves, found)
    like = both.delta(branches[0].skip)
    for b in branches:
        for node in starts_of(b):
            if node in back:
                yield wide(back[node])
            else:
                heads = value(node).shape[1] if b.heads is not None else 1
                yield like.new_zeros(int(heads), *like.shape)
    yield wide(back[model.output.node])


def merged(parts: Sequence[EdgeScores]) -> EdgeScores:
    """Edge scores of several batches as one; `by_position` is that of the first.

    Positions are summed in `values`, so prompts of any length go together. Raises InputError if
    the parts are of different models or estimators.
    """
    first = parts[0]
    for part in parts[1:]:
        if (part.readers, part.estimator, part.direction) != (
            first.readers,
            first.estimator,
            first.direction,
        ):
            raise InputError("edge scores of different models or estimators cannot be merged")
    return replace(
        first,
        values=torch.cat([p.values for p in parts]),
        clean=torch.cat([p.clean for p in parts]),
        corrupt=torch.cat([p.corrupt for p in parts]),
    )
