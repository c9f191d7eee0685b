"""Trace relevance through inner sources: where it came from, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..capture.ambient import leave_modes
from ..errors import InputError
from ..programs.batched import run_many
from ..results.explanation import Explanation
from .forward import ModelRun
from .target import Position, Target

Amounts = Mapping[str, Tensor]


@dataclass(frozen=True)
class Tracer:
    """One forward pass, and programs that pass on relevance from any inner source.

    `passing` are the sources at which relevance passes on, in the order of the programs' arguments.
    Amounts are in the unit of the explained number.

    Example:
        >>> import torch, lrp_engine as lrp
        >>> layers = torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)
        >>> model = torch.nn.Sequential(*layers).eval()
        >>> engine = lrp.Engine(model, torch.ones(1, 4), preset="epsilon")
        >>> tracer = engine.with_sources(["input", "1"]).trace(torch.ones(1, 4))
        >>> whole = tracer.explain(0)
        >>> (through,) = tracer.onward("1", [whole.coefficient["1"]])
        >>> torch.allclose(through["input"], whole.relevance["input"])
        True
    """

    run: ModelRun
    kept: tuple[object, ...]
    passing: tuple[str, ...]

    @property
    def explained_output(self) -> Tensor:
        """The output that targets speak of."""
        return self.run.explained_output

    def explain(self, target: Target = None, position: Position = None) -> Explanation:
        """Explain one target per sample, as `Engine.explain` does. Raises TargetError."""
        with leave_modes():
            return self.run.explain(self.run.seed(target, position), list(self.kept))

    def onward(
        self, source: str, coefficients: Sequence[Tensor], at_once: int = 16
    ) -> list[dict[str, Tensor]]:
        """Pass on only what is given at one source, and nothing from the output.

        Args:
            source: one of `passing`.
            coefficients: of the source's shape: an explanation's, with zeros at all places but
                those to trace through.
            at_once: so many travel together.

        Returns:
            For each coefficient, the relevance at every source: at those that the source was
            computed from, the share that passed through the chosen places.

        Raises:
            InputError: relevance does not pass through this source.
        """
        place = self._place(source)
        zeros = torch.zeros_like(self.run.explained_output)
        seeds = []
        for c in coefficients:
            added = [zeros.new_zeros(()) for _ in self.passing]
            added[place] = c
            seeds.append([zeros, *added])
        wanted, given = self.run.pair.wanted, [*self.run.leaves, *self.kept]
        with leave_modes(), torch.no_grad():
            found = run_many(wanted.program.batched, seeds, given, at_once)
        return [wanted.relevance_in(results) for results in found]

    def backward(
        self, whole: Explanation, target: Target, position: Position, wanted: Sequence[Amounts]
    ) -> list[dict[str, Tensor]]:
        """Split relevance at chosen places by what it passed through on its way from the output.

        Args:
            whole: the explanation of the target.
            target: as for `explain`.
            position: as for `explain`.
            wanted: for each result, masks by source (1 at the chosen places, 0 elsewhere).

        Returns:
            For each mask, the relevance at every passing source that later passed through the
            chosen places.
        """
        run, pair = self.run, self.run.pair
        seed = run.seed(target, position).dense()
        shapes = [whole.coefficient[name] for name in self.passing]
        added = [torch.zeros_like(c, requires_grad=True) for c in shapes]
        with leave_modes(), torch.enable_grad():
            results = pair.relevance([seed, *added, *run.leaves, *self.kept])
            relevance = pair.wanted.relevance_in(results)
            return [self._split(relevance, added, shapes, masks) for masks in wanted]

    def _split(
        self,
        relevance: Amounts,
        added: Sequence[Tensor],
        coefficients: Sequence[Tensor],
        masks: Amounts,
    ) -> dict[str, Tensor]:
        chosen = torch.stack([(relevance[name] * mask).sum() for name, mask in masks.items()])
        slopes = torch.autograd.grad(chosen.sum(), added, retain_graph=True, allow_unused=True)
        return {
            name: torch.zeros_like(c) if slope is None else c * slope
            for name, c, slope in zip(self.passing, coefficients, slopes, strict=True)
        }

    def _place(self, source: str) -> int:
        if source not in self.passing:
            raise InputError(
                f"relevance does not pass through {source!r}; it does through"
                f" {', '.join(self.passing) or 'no source: name modules as sources'}"
            )
        return self.passing.index(source)
