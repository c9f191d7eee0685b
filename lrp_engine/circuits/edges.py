"""Score edges: every upstream component to every downstream input, as one batched product.

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
from ..markup import MOST_ROWS, Overview, Shown
from ..markup.numbers import signed
from ..method.relevance import widen
from .blocks import Block, BlockKind
from .circuit_model import CircuitModel
from .downstream import downstream_program, repeat_batch
from .estimators import Estimator, LinearEstimator, find_estimator
from .heads import HeadTensor
from .magnitudes import CutSums
from .pairs import Pairs
from .reader_paths import reader_paths
from .run_pair import RunPair, run_both
from .scores import Direction
from .scoring import estimate_coefficients


class ReaderKind(Enum):
    """The kinds of downstream inputs."""

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
    reads: ReaderKind
    head: int | None = None

    @property
    def component(self) -> str:
        """The component that the input belongs to: `a5.h3` of `a5.h3<q>`."""
        return self.name.partition("<")[0]


@dataclass(frozen=True, repr=False)
class EdgeScores(Shown):
    """Scores of all edges, in units of the metric.

    `values` is (batch, writer, reader), 0 where `possible`, (writer, reader), says there is no
    edge. `by_position`, (position, writer, reader), is the mean over prompts, position by position:
    what a component writes at a position is read at that position. It sums to the mean of `values`.
    `clean` and `corrupt`, (batch,), are the metric of the two runs.
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
        """Average over prompts: (writer, reader)."""
        return self.values.mean(0)

    @property
    def cut_sums(self) -> CutSums:
        """The sums of all edges out of the input and into the output, beside the gap."""
        sums = {"edges out of input": self.values[:, 0].sum(1)}
        sums["edges into logits"] = self.values[:, :, -1].sum(1)
        return CutSums(sums, self.clean - self.corrupt)

    def __len__(self) -> int:
        """Return how many edges there are."""
        return int(self.possible.sum())

    def above(self, threshold: float) -> Iterator[tuple[str, str, float]]:
        """Yield (writer, reader, mean score) of every edge of at least that absolute score."""
        mean = self.mean()
        for u, d in torch.nonzero((mean.abs() >= threshold) & self.possible).tolist():
            yield self.writers[u].name, self.readers[d].name, float(mean[u, d])

    def top(self, count: int = 10) -> list[tuple[str, str, float]]:
        """Return the `count` edges of largest absolute mean score, largest first."""
        return sorted(self.above(0.0), key=lambda edge: -abs(edge[2]))[:count]

    def overview(self) -> Overview:
        """Return the edges of largest score, and how the sums at both ends compare."""
        said = self.cut_sums.statement
        return Overview(
            title=f"scores of {len(self)} edges by {self.estimator}, {self.direction.value}",
            facts=(("prompts", str(len(self.clean))),),
            head=("from", "to", "mean score#"),
            rows=[(u, d, signed(score)) for u, d, score in self.top(MOST_ROWS)],
            left_out=max(0, len(self) - MOST_ROWS),
            notes=[said] if said else [],
        )

    def node_scores(self) -> dict[str, float]:
        """Sum the mean scores of all edges out of each writer."""
        sums = self.mean().sum(1).tolist()
        return {w.name: total for w, total in zip(self.writers, sums, strict=True)}


def edge_scores(
    model: CircuitModel,
    pairs: Pairs,
    *,
    estimator: str | Estimator = "relp",
    direction: Direction | str = Direction.DENOISE,
) -> EdgeScores:
    """Score every edge between components (positions summed), per prompt.

    Args:
        model: the model to score.
        pairs: a batch of clean and corrupt prompts with their metric.
        estimator: a name in `ESTIMATORS`, or one of your own.
        direction: the run that is patched.

    Raises:
        SourceError: the model has no residual stream of attention and MLP blocks, or one that is
            normalised between blocks (post-norm), where "what a component writes" is not a sum.
        InputError: the estimator is unknown, or the prompts do not fit the capture.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> model, pairs = ioi_subject()
        >>> edges = edge_scores(model, pairs)
        >>> len(edges)
        479
    """
    direction, chosen = Direction(direction), find_estimator(estimator)
    blocks = require_blocks(model)
    runs = run_both(model, pairs, _compared(blocks), direction)
    writers, results = _results(model, runs, blocks)
    readers = list_readers(blocks, runs)
    possible = _possible(writers, readers)
    clean, corrupt = runs.metrics(pairs)
    parts = [
        _score_all(model, pairs, runs, blocks, results, part) * possible for part in chosen.parts
    ]
    own = [part.sum(-1, keepdim=True) for part in parts]
    values = chosen.combine(parts, own, clean - corrupt)
    return EdgeScores(
        estimator=chosen.name,
        direction=direction,
        writers=writers,
        readers=readers,
        values=values.sum(1),
        by_position=values.mean(0),
        possible=possible,
        clean=clean,
        corrupt=corrupt,
    )


def _score_all(
    model: CircuitModel,
    pairs: Pairs,
    runs: RunPair,
    blocks: Sequence[Block],
    results: Tensor,
    estimator: LinearEstimator,
) -> Tensor:
    """Return (batch, position, writer, reader): what is written times what is read."""
    written = results.permute(1, 2, 0, 3)
    parts = []
    for term in estimator.terms:
        read = _read(model, pairs, runs, blocks, replace(estimator, terms=(term,)))
        parts.append(torch.cat([written @ part.permute(1, 2, 3, 0) for part in read], -1))
    return sum(parts[1:], parts[0])


def require_blocks(model: CircuitModel) -> tuple[Block, ...]:
    """Return the blocks of a model whose residual stream is a plain sum.

    Raises:
        SourceError: there are no blocks, the stream is changed between them, or heads cannot be
            told apart.
    """
    blocks = model.structure.blocks
    if not blocks:
        raise SourceError("no residual stream with attention and MLP blocks was found: no edges")
    sums = {b.after for b in blocks} | {blocks[0].skip}
    for b in blocks:
        if b.skip not in sums:
            raise SourceError(
                f"the residual stream is changed between blocks, before {b.path}: what a component"
                " writes does not reach later ones as a sum, so edges are not defined. Score"
                " components instead."
            )
        if b.kind is BlockKind.ATTENTION and b.heads is None:
            raise SourceError(
                f"the heads of {b.path} have no axis of their own: edges are not defined. Score"
                " components instead."
            )
    return blocks


def _compared(blocks: Sequence[Block]) -> list[fx.Node]:
    """Return what is compared between the runs: the stream's start, each z, each MLP's output."""
    return [blocks[0].skip, *(b.heads.z.node if b.heads is not None else b.out for b in blocks)]


def _results(
    model: CircuitModel, runs: RunPair, blocks: Sequence[Block]
) -> tuple[tuple[Writer, ...], Tensor]:
    """Return all writers, and clean - corrupt of each: (writer, batch, position, feature)."""
    writers, results = [Writer("input", -1)], [runs.delta(blocks[0].skip)]
    for order, b in enumerate(blocks):
        if b.heads is None:
            writers.append(Writer(f"m{b.layer}", order))
            results.append(runs.delta(b.out))
            continue
        for head, result in enumerate(_head_results(model, runs, b.heads.z, b.out)):
            writers.append(Writer(f"a{b.layer}.h{head}", order, head))
            results.append(result)
    return tuple(writers), torch.stack(results)


def _head_results(
    model: CircuitModel, runs: RunPair, z: HeadTensor, out: fx.Node
) -> Iterator[Tensor]:
    """Yield what each head alone changes in the block's output: the others stay as in the base."""
    rest = downstream_program(model, [z.node], [out])
    base, other = runs.base_values[z.node], z.axes.arrange(runs.other_values[z.node])
    heads, batch = z.heads, base.shape[0]
    stacked = repeat_batch(base, heads + 1)
    patched = z.axes.arrange(stacked)
    for head in range(heads):
        patched[head * batch : (head + 1) * batch, head] = other[:, head]
    _, boundary = model.activations(rest.boundary, runs.base)
    (results,) = rest.run(runs.base, boundary, [stacked], heads + 1)
    outs = widen(results).chunk(heads + 1)
    for head in range(heads):
        yield runs.sign * (outs[head] - outs[-1])


def list_readers(blocks: Sequence[Block], runs: RunPair) -> tuple[ReaderInput, ...]:
    """List every downstream input in the order of the columns of `EdgeScores.values`."""
    found = []
    orders = {b.after: order + 1 for order, b in enumerate(blocks)} | {blocks[0].skip: 0}
    for b in blocks:
        order = orders.get(b.reads, 0)
        if b.heads is None:
            found.append(ReaderInput(f"m{b.layer}", order, ReaderKind.MLP))
            continue
        heads = b.heads.z.heads
        for kind in (ReaderKind.QUERY, ReaderKind.KEY, ReaderKind.VALUE):
            for head in range(heads):
                name = f"a{b.layer}.h{head}<{kind.value}>"
                found.append(ReaderInput(name, order, kind, head))
    return (*found, ReaderInput("logits", len(blocks), ReaderKind.OUTPUT))


def _possible(writers: Sequence[Writer], readers: Sequence[ReaderInput]) -> Tensor:
    return torch.tensor([[w.order < r.order for r in readers] for w in writers])


def _read(
    model: CircuitModel, pairs: Pairs, runs: RunPair, blocks: Sequence[Block], one: LinearEstimator
) -> Iterator[Tensor]:
    """Yield the coefficient that each reader alone sends into the stream, block by block.

    `one` is an estimator of one term. Each tensor is (reader, batch, position, feature).
    """
    (term,) = one.terms
    readers = (*(n for b in blocks for n in b.readers), model.output.node)
    seeds = estimate_coefficients(model, pairs, runs, one, readers)
    back = reader_paths(model, term.preset, blocks).run(runs.inputs_of(model, term), seeds)
    like = runs.delta(blocks[0].skip)
    for b in blocks:
        for node in b.readers:
            if node in back:
                yield widen(back[node])
            else:
                heads = b.heads.z.heads if b.heads is not None else 1
                yield like.new_zeros(heads, *like.shape)
    yield widen(back[model.output.node])


def merge_edge_scores(parts: Sequence[EdgeScores]) -> EdgeScores:
    """Concatenate edge scores of several batches; `by_position` is that of the first.

    Positions are summed in `values`, so prompts of any length go together.

    Raises:
        InputError: the parts are of different models, estimators or directions.
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
