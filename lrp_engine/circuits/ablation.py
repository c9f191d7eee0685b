"""Run a model with every edge outside a circuit ablated.

Each reader gets a residual stream of its own: that of the ablated run, plus, for every edge of the
circuit into it, what the writer changes. With all edges this is the clean run, with none the
ablated one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, fx

from .blocks import Block
from .circuit import Circuit
from .circuit_model import CircuitModel
from .downstream import downstream_program, repeat_batch
from .edges import require_blocks
from .heads import Heads
from .pairs import Pairs, evaluate_metric


class Ablation(Enum):
    """The values that stand in for what is cut.

    RESAMPLE: those of the corrupt run. MEAN: those of the clean runs, averaged over prompts,
    position by position.
    """

    RESAMPLE = "resample"
    MEAN = "mean"


@dataclass(frozen=True)
class EdgeAblator:
    """A batch of clean prompts, ready to be run with any edges cut.

    `ablated` holds, per node, the value that stands in for it; `start` is the clean stream's start.
    """

    model: CircuitModel
    pairs: Pairs
    blocks: tuple[Block, ...]
    leaves: list[Tensor]
    start: Tensor
    ablated: dict[fx.Node, Tensor]

    def run(self, circuit: Circuit) -> Tensor:
        """Compute the metric, (batch,), with everything outside the circuit ablated."""
        return evaluate_metric(self.pairs.metric, self.output(circuit.keep))

    def output(self, keep: Tensor) -> Tensor:
        """Compute the model's output with the edges of `keep`, (writer, reader), alone."""
        weights = keep.to(self.start.dtype)
        first = self.blocks[0].skip
        changes, column = [self.start - self.ablated[first]], 0
        for b in self.blocks:
            width = 3 * self._head_count(b) or 1
            streams = self._streams(b.reads, changes, weights[:, column : column + width])
            column += width
            if b.heads is None:
                changes.append(self._change_of_mlp(b, streams))
            else:
                changes += self._changes_of_heads(b, b.heads, streams)
        last = self.blocks[-1].after
        stream = self._streams(last, changes, weights[:, column:])
        (output,) = self._run_between([last], [self.model.output.node], [stream])
        return output

    def _head_count(self, b: Block) -> int:
        return b.heads.z.heads if b.heads else 0

    def _streams(self, node: fx.Node, changes: Sequence[Tensor], weights: Tensor) -> Tensor:
        """Return the stream that each reader sees, (reader * batch, position, feature)."""
        among = torch.stack(list(changes))
        seen = torch.einsum("ud,ubpf->dbpf", weights[: len(changes)], among)
        return (self.ablated[node] + seen).flatten(0, 1)

    def _change_of_mlp(self, b: Block, streams: Tensor) -> Tensor:
        (out,) = self._run_between([b.reads], [b.out], [streams])
        return out - self.ablated[b.out]

    def _changes_of_heads(self, b: Block, h: Heads, streams: Tensor) -> Iterator[Tensor]:
        """Yield what each head changes in the stream, with its own query, key and value."""
        heads, batch = self._head_count(b), self.start.shape[0]
        parts = streams.chunk(len(b.readers))
        mixed = [
            end.axes.join_heads(self._run_between([b.reads], [end.node], [part])[0])
            for end, part in zip(h.readers, parts, strict=True)
        ]
        (z,) = map(h.z.axes.arrange, self._run_between(b.readers, [h.z.node], mixed))
        stacked = repeat_batch(self.ablated[h.z.node], heads)
        alone = h.z.axes.arrange(stacked)
        for head in range(heads):
            alone[head * batch : (head + 1) * batch, head] = z[:, head]
        (outs,) = self._run_between([h.z.node], [b.out], [stacked])
        yield from (out - self.ablated[b.out] for out in outs.chunk(heads))

    def _run_between(
        self, starts: Sequence[fx.Node], ends: Sequence[fx.Node], given: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        rest = downstream_program(self.model, starts, ends)
        copies = given[0].shape[0] // self.start.shape[0]
        return rest.run(self.leaves, [self.ablated[n] for n in rest.boundary], given, copies)


def prepare_ablation(
    model: CircuitModel, pairs: Pairs, ablation: Ablation | str = Ablation.RESAMPLE
) -> EdgeAblator:
    """Run a batch once, so that it can then be run with any edges cut.

    Raises:
        SourceError: edges are not defined for this model.
    """
    blocks = require_blocks(model)
    clean = model.leaves(pairs.clean)
    ablated = ablated_values(model, pairs, list(_needed(model, blocks)), ablation)
    _, (start,) = model.activations((blocks[0].skip,), clean)
    return EdgeAblator(model, pairs, blocks, clean, start, ablated)


def ablated_values(
    model: CircuitModel, pairs: Pairs, nodes: Sequence[fx.Node], ablation: Ablation | str
) -> dict[fx.Node, Tensor]:
    """Compute the value that stands in for each node, of the shape of its activation."""
    wanted = tuple(dict.fromkeys(nodes))
    mean = Ablation(ablation) is Ablation.MEAN
    _, values = model.activations(wanted, model.leaves(pairs.clean if mean else pairs.corrupt))
    if mean:
        # Copied into the old layout, which later views rely on.
        values = [torch.empty_like(v).copy_(v.mean(0, keepdim=True)) for v in values]
    return dict(zip(wanted, values, strict=True))


def _needed(model: CircuitModel, blocks: Sequence[Block]) -> Iterator[fx.Node]:
    """Yield every node whose ablated value some run of `EdgeAblator` takes."""
    for b in blocks:
        yield from (b.skip, b.reads, b.out, b.after)
        steps: list[tuple[Sequence[fx.Node], Sequence[fx.Node]]] = [([b.reads], [b.out])]
        if b.heads is not None:
            z = b.heads.z.node
            yield z
            steps = [([b.reads], [end]) for end in b.readers]
            steps += [(b.readers, [z]), ([z], [b.out])]
        for starts, ends in steps:
            yield from downstream_program(model, starts, ends).boundary
    yield from downstream_program(model, [blocks[-1].after], [model.output.node]).boundary
