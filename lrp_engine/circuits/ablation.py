"""Runs a model with every edge outside a circuit ablated, and measures what the circuit keeps.

Each reader gets a residual stream of its own: that of the ablated run, plus, for every edge of the
circuit into it, what the writer changes. With all edges this is the clean run, with none the
ablated one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, fx

from .blocks import Branch
from .circuit import Circuit, greedy, top_edges
from .circuit_model import CircuitModel
from .downstream import Suffix, stack, suffix
from .edges import EdgeScores, checked_branches
from .pairs import Pairs, measured
from .patching import Progress

# The circuit sizes of the MIB benchmark, as parts of all edges.
MIB_SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Ablation(Enum):
    """What stands in for an edge that is cut."""

    RESAMPLE = "resample"
    MEAN = "mean"


@dataclass(frozen=True)
class Cut:
    """A batch of clean prompts, ready to be run with any edges cut.

    `ablated` holds, per node, the value that stands in for it; `start` is the clean stream's start.
    """

    model: CircuitModel
    pairs: Pairs
    branches: tuple[Branch, ...]
    leaves: list[Tensor]
    start: Tensor
    ablated: dict[fx.Node, Tensor]

    def run(self, circuit: Circuit) -> Tensor:
        """The metric, per prompt, with everything outside the circuit ablated."""
        return measured(self.pairs.metric, self.output(circuit.keep))

    def output(self, keep: Tensor) -> Tensor:
        """The model's output where `keep`, (writer, reader), says which edges are in."""
        weights = keep.to(self.start.dtype)
        first = self.branches[0].skip
        changes, column = [self.start - self.ablated[first]], 0
        for b in self.branches:
            width = 3 * self._heads(b) or 1
            streams = self._streams(b.reads, changes, weights[:, column : column + width])
            column += width
            changes += self._attention(b, streams) if b.heads else self._mlp(b, streams)
        last = self.branches[-1].after
        stream = self._streams(last, changes, weights[:, column:])
        (output,) = self._piece([last], [self.model.output.node], stream)
        return output

    def _heads(self, b: Branch) -> int:
        return self.ablated[b.heads.z].shape[1] if b.heads else 0

    def _streams(self, node: fx.Node, changes: Sequence[Tensor], weights: Tensor) -> Tensor:
        """(reader * batch, position, feature): the stream that each reader sees."""
        among = torch.stack(list(changes))
        seen = torch.einsum("ud,ubpf->dbpf", weights[: len(changes)], among)
        return (self.ablated[node] + seen).flatten(0, 1)

    def _mlp(self, b: Branch, streams: Tensor) -> list[Tensor]:
        (out,) = self._piece([b.reads], [b.out], [streams])
        return [out - self.ablated[b.out]]

    def _attention(self, b: Branch, streams: Tensor) -> Iterator[Tensor]:
        """What each head changes in the stream, every head with its own query, key and value."""
        assert b.heads is not None
        heads, batch = self._heads(b), self.start.shape[0]
        ends = [b.heads.query, b.heads.key, b.heads.value]
        parts = streams.split(heads * batch)
        mixed = [
            _own_head(self._piece([b.reads], [end], [part])[0], heads)
            for end, part in zip(ends, parts, strict=True)
        ]
        (z,) = self._piece(ends, [b.heads.z], mixed)
        alone = stack(self.ablated[b.heads.z], heads)
        for head in range(heads):
            alone[head * batch : (head + 1) * batch, head] = z[:, head]
        (outs,) = self._piece([b.heads.z], [b.out], [alone])
        yield from (out - self.ablated[b.out] for out in outs.split(batch))

    def _piece(
        self, starts: Sequence[fx.Node], ends: Sequence[fx.Node], given: Sequence[Tensor] | Tensor
    ) -> Sequence[Tensor]:
        rest = piece(self.model, starts, ends)
        values = [given] if isinstance(given, Tensor) else list(given)
        copies = values[0].shape[0] // self.start.shape[0]
        return rest.run(self.leaves, [self.ablated[n] for n in rest.boundary], values, copies)


def _own_head(stacked: Tensor, heads: int) -> Tensor:
    """Head h of copy h: (head * batch, head, ...) -> (batch, head, ...)."""
    apart = stacked.unflatten(0, (heads, -1))
    return torch.stack([apart[h, :, h] for h in range(heads)], 1)


def piece(model: CircuitModel, starts: Sequence[fx.Node], ends: Sequence[fx.Node]) -> Suffix:
    """The program from some nodes to others, written once per model."""
    found: Suffix = model.remember(
        ("piece", tuple(starts), tuple(ends)),
        lambda: suffix(model.graph, starts, ends, model.graph.inputs[0].node),
    )
    return found


def cut(model: CircuitModel, pairs: Pairs, ablation: Ablation | str = Ablation.RESAMPLE) -> Cut:
    """Prepares a batch: RESAMPLE puts the corrupt run in the place of what is cut, MEAN the mean
    of the clean runs over prompts, position by position."""
    branches = checked_branches(model)
    needed = dict.fromkeys(_needed(model, branches))
    clean = model.leaves(pairs.clean)
    base = clean if Ablation(ablation) is Ablation.MEAN else model.leaves(pairs.corrupt)
    _, values = model.activations(tuple(needed), base)
    _, (start,) = model.activations((branches[0].skip,), clean)
    if Ablation(ablation) is Ablation.MEAN:
        # Copied into the old layout, which later views rely on.
        values = [torch.empty_like(v).copy_(v.mean(0, keepdim=True)) for v in values]
    return Cut(model, pairs, branches, clean, start, dict(zip(needed, values, strict=True)))


def _needed(model: CircuitModel, branches: Sequence[Branch]) -> Iterator[fx.Node]:
    for b in branches:
        yield from (b.skip, b.reads, b.out, b.after)
        steps: list[tuple[list[fx.Node], list[fx.Node]]] = [([b.reads], [b.out])]
        if b.heads is not None:
            inputs = [b.heads.query, b.heads.key, b.heads.value]
            yield b.heads.z
            steps = [([b.reads], [end]) for end in inputs]
            steps += [(inputs, [b.heads.z]), ([b.heads.z], [b.out])]
        for starts, ends in steps:
            yield from piece(model, starts, ends).boundary
    yield from piece(model, [branches[-1].after], [model.output.node]).boundary


@dataclass(frozen=True)
class Curve:
    """Faithfulness over circuit size: f = (m(C) - m(none)) / (m(all) - m(none)), m averaged.

    `cpr`, the integrated circuit performance ratio, is the area under f over the part of edges that
    are kept (higher is better); `cmd`, the circuit-model distance, the area between f and 1 (lower
    is better), both by trapezoids over the sizes asked for (MIB, arXiv 2504.13151).
    """

    sizes: tuple[float, ...]
    edges: tuple[int, ...]
    faithfulness: tuple[float, ...]
    metric_all: float
    metric_none: float

    @property
    def cpr(self) -> float:
        """Area under f."""
        return _area(self.sizes, self.faithfulness)

    @property
    def cmd(self) -> float:
        """Area between f and 1."""
        return _area(self.sizes, [abs(1 - f) for f in self.faithfulness])


def _area(x: Sequence[float], y: Sequence[float]) -> float:
    return float(torch.trapezoid(torch.tensor(y), torch.tensor(x)))


Chooser = Callable[[EdgeScores, int], Circuit]
CHOOSERS: dict[str, Chooser] = {"top": top_edges, "greedy": greedy}


def curve(
    model: CircuitModel,
    pairs: Pairs,
    edges: EdgeScores,
    *,
    sizes: Sequence[float] = MIB_SIZES,
    ablation: Ablation | str = Ablation.RESAMPLE,
    choose: str = "top",
    progress: Progress | None = None,
) -> Curve:
    """Faithfulness of the circuits of each size. Positive and negative edges count by size alike.

    Example:
        >>> from lrp_engine.demo.ioi import ioi_subject
        >>> from lrp_engine.circuits import edge_scores
        >>> model, pairs = ioi_subject()
        >>> found = curve(model, pairs, edge_scores(model, pairs), sizes=(0.1, 1))
        >>> round(found.faithfulness[-1], 4)
        1.0
    """
    ready = cut(model, pairs, ablation)
    full, none = (float(ready.run(Circuit(edges, k)).mean()) for k in _all_and_none(edges))
    counts, faith = [], []
    for done, size in enumerate(sizes):
        circuit = CHOOSERS[choose](edges, int(size * len(edges)))
        counts.append(len(circuit))
        faith.append((float(ready.run(circuit).mean()) - none) / (full - none))
        if progress is not None:
            progress(done + 1, len(sizes))
    return Curve(tuple(sizes), tuple(counts), tuple(faith), full, none)


def _all_and_none(edges: EdgeScores) -> tuple[Tensor, Tensor]:
    return edges.possible, torch.zeros_like(edges.possible)


@dataclass(frozen=True)
class Quality:
    """How good one circuit is; every number is a part of m(all) - m(none).

    faithfulness: f(C), what the circuit alone restores; completeness: 1 - f(all but C), what is
    lost without it (1: nothing of the behaviour is left outside); minimality: for each component,
    what f(C) loses when it is taken out of the circuit (near 0: it is not needed).
    """

    faithfulness: float
    completeness: float
    minimality: dict[str, float]


def quality(
    model: CircuitModel,
    pairs: Pairs,
    circuit: Circuit,
    *,
    ablation: Ablation | str = Ablation.RESAMPLE,
    progress: Progress | None = None,
) -> Quality:
    """Faithfulness, completeness and minimality of a circuit by ablating what is outside."""
    ready = cut(model, pairs, ablation)
    full, none = (
        float(ready.run(Circuit(circuit.edges, k)).mean()) for k in (_all_and_none(circuit.edges))
    )

    def restored(c: Circuit) -> float:
        return (float(ready.run(c).mean()) - none) / (full - none)

    own = restored(circuit)
    parts = [n for n in circuit.components() if n not in ("input", "logits")]
    lost = {}
    for done, name in enumerate(parts):
        lost[name] = own - restored(circuit.without(name))
        if progress is not None:
            progress(done + 1, len(parts))
    return Quality(own, 1 - restored(circuit.complement()), lost)
