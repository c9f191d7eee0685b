"""Run clean and corrupted inputs, and keep what scores are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, fx

from ..method.relevance import widen
from .circuit_model import CircuitModel
from .pairs import Pairs, differentiate_metric, evaluate_metric
from .scores import Direction


@dataclass(frozen=True)
class RunPair:
    """The two runs of a batch: base (patched) and other (what it is patched with).

    Inputs of each, then its output, then activations by node. `known` holds coefficients on the
    base run by preset, where they came with it.
    """

    direction: Direction
    base: list[Tensor]
    other: list[Tensor]
    base_output: Tensor
    other_output: Tensor
    base_values: Mapping[fx.Node, Tensor]
    other_values: Mapping[fx.Node, Tensor]
    known: Mapping[str, Mapping[fx.Node, Tensor]]

    @property
    def sign(self) -> int:
        """1 if other is the clean run, else -1: other - base becomes clean - corrupt."""
        return 1 if self.direction is Direction.DENOISE else -1

    def delta(self, node: fx.Node) -> Tensor:
        """Return clean - corrupt activation, in float32 at least."""
        return self.sign * (widen(self.other_values[node]) - widen(self.base_values[node]))

    def metrics(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Compute the metric of the clean and of the corrupt run, (batch,) each."""
        base, other = (
            evaluate_metric(pairs.metric, o) for o in (self.base_output, self.other_output)
        )
        return (other, base) if self.direction is Direction.DENOISE else (base, other)

    def inputs_at(self, model: CircuitModel, t: float) -> list[Tensor]:
        """Return inputs with embeddings at the point t between the runs: base (0) to other (1)."""
        leaves = list(self.base)
        for i in model.embedding_places() if t else ():
            leaves[i] = torch.lerp(self.base[i], self.other[i], t)
        return leaves


def run_both(
    model: CircuitModel,
    pairs: Pairs,
    nodes: Sequence[fx.Node],
    direction: Direction,
    first: str | None = None,
) -> RunPair:
    """Run clean and corrupt inputs, and keep the activations at the nodes.

    `first` names a preset whose coefficients on the base run are computed as well: the base is then
    run only once.
    """
    wanted = tuple(dict.fromkeys(nodes))
    corrupt, clean = model.leaves(pairs.corrupt), model.leaves(pairs.clean)
    base, other = (corrupt, clean) if direction is Direction.DENOISE else (clean, corrupt)
    known: dict[str, Mapping[fx.Node, Tensor]] = {}
    if first is None:
        base_output, found = model.activations(wanted, base)
        base_values: Mapping[fx.Node, Tensor] = dict(zip(wanted, found, strict=True))
    else:
        seed = partial(differentiate_metric, pairs.metric)
        run = model.coefficients(first, wanted).run(base, seed)
        base_output, base_values, known[first] = run.output, run.activations, run.coefficients
    other_output, found = model.activations(wanted, other)
    return RunPair(
        direction=direction,
        base=base,
        other=other,
        base_output=base_output,
        other_output=other_output,
        base_values=base_values,
        other_values=dict(zip(wanted, found, strict=True)),
        known=known,
    )
