"""Run clean and corrupted inputs, and keep what scores are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, fx

from ..graphs.precision import change
from .circuit_model import CircuitModel
from .estimators import End, Term
from .node_programs import RunValues
from .pairs import Pairs, differentiate_metric, evaluate_metric
from .scores import Direction


@dataclass(frozen=True)
class RunPair:
    """The two runs of a batch: base (patched) and other (what it is patched with).

    Inputs of each, then its output, then activations by node. `known` holds the coefficients that
    came with these runs, by the term that they belong to.
    """

    direction: Direction
    base: list[Tensor]
    other: list[Tensor]
    base_output: Tensor
    other_output: Tensor
    base_values: Mapping[fx.Node, Tensor]
    other_values: Mapping[fx.Node, Tensor]
    known: Mapping[Term, Mapping[fx.Node, Tensor]]

    @property
    def sign(self) -> int:
        """1 if other is the clean run, else -1: other - base becomes clean - corrupt."""
        return 1 if self.direction is Direction.DENOISE else -1

    def delta(self, node: fx.Node) -> Tensor:
        """Return clean - corrupt activation, in float32 at least."""
        return self.sign * change(self.other_values[node], self.base_values[node])

    def metrics(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Compute the metric of the clean and of the corrupt run, (batch,) each."""
        base, other = (
            evaluate_metric(pairs.metric, o) for o in (self.base_output, self.other_output)
        )
        return (other, base) if self.direction is Direction.DENOISE else (base, other)

    def inputs_of(self, model: CircuitModel, term: Term) -> list[Tensor]:
        """Return what the programs of a term are given for these runs."""
        return term.inputs(self.base, self.other, model.embedding_places())


def run_both(
    model: CircuitModel,
    pairs: Pairs,
    nodes: Sequence[fx.Node],
    direction: Direction,
    first: Term | None = None,
) -> RunPair:
    """Run clean and corrupt inputs, and keep the activations at the nodes.

    `first` is a term whose coefficients are computed as well: the ends of the path that its own
    forward pass runs are then not run again.
    """
    wanted = tuple(dict.fromkeys(nodes))
    corrupt, clean = model.leaves(pairs.corrupt), model.leaves(pairs.clean)
    base, other = (corrupt, clean) if direction is Direction.DENOISE else (clean, corrupt)
    ends: dict[End, RunValues] = {}
    known: dict[Term, Mapping[fx.Node, Tensor]] = {}
    if first is not None and first.ends:
        given = first.inputs(base, other, model.embedding_places())
        seed = partial(differentiate_metric, pairs.metric)
        found = model.coefficients(first.preset, wanted).run(given, seed)
        ends |= zip(first.ends, found.runs, strict=True)
        known[first] = found.coefficients
    for end, leaves in ((End.BASE, base), (End.OTHER, other)):
        if end not in ends:
            output, values = model.activations(wanted, leaves)
            ends[end] = RunValues(output, dict(zip(wanted, values, strict=True)))
    return RunPair(
        direction=direction,
        base=base,
        other=other,
        base_output=ends[End.BASE].output,
        other_output=ends[End.OTHER].output,
        base_values=ends[End.BASE].activations,
        other_values=ends[End.OTHER].activations,
        known=known,
    )
