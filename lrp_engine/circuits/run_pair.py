"""Run clean and corrupted inputs, and keep what scores are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, fx

from ..graphs.precision import change
from .circuit_model import CircuitModel
from .estimators import BothRuns, End, PathPoint, Term
from .node_programs import RunValues
from .pairs import Pairs, differentiate_metric, evaluate_metric
from .scores import Direction
from .shared_forward import find_shared_forward


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
    terms: Sequence[Term] = (),
) -> RunPair:
    """Run clean and corrupt inputs, and keep the activations at the nodes.

    `terms` will be asked for. The coefficients of the one whose program runs most ends of the path
    are computed as well, and beside a term of both runs those on the base run: no end is run twice.
    """
    wanted = tuple(dict.fromkeys(nodes))
    corrupt, clean = model.leaves(pairs.corrupt), model.leaves(pairs.clean)
    base, other = (corrupt, clean) if direction is Direction.DENOISE else (clean, corrupt)
    ends, known = _run_terms(model, pairs, wanted, base, other, terms)
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


_Ends = dict[End, RunValues]
_Known = dict[Term, Mapping[fx.Node, Tensor]]


def _run_terms(
    model: CircuitModel,
    pairs: Pairs,
    nodes: tuple[fx.Node, ...],
    base: list[Tensor],
    other: list[Tensor],
    terms: Sequence[Term],
) -> tuple[_Ends, _Known]:
    """Run the programs of terms that run ends of the path by themselves."""
    seed = partial(differentiate_metric, pairs.metric)
    first = max(terms, key=lambda term: len(term.ends), default=None)
    beside = next((t for t in terms if isinstance(t, PathPoint) and t.t == 0), None)
    if isinstance(first, BothRuns) and beside is not None:
        shared = find_shared_forward(model, first, beside, nodes)
        if shared is not None:
            tensors = [leaf for leaf in other if isinstance(leaf, Tensor)]
            run_a, run_b, of_both, of_base = shared.run([*base, *tensors], seed)
            return {End.BASE: run_a, End.OTHER: run_b}, {first: of_both, beside: of_base}
    if first is None or not first.ends:
        return {}, {}
    given = first.inputs(base, other, model.embedding_places())
    found = model.coefficients(first.preset, nodes).run(given, seed)
    return dict(zip(first.ends, found.runs, strict=True)), {first: found.coefficients}
