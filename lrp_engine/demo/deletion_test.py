"""Take away what an explanation calls important, and compare with taking away other things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .exhibit import Case, Deletion
from .inner_run import InnerRun

_DRAWS = 5


@dataclass(frozen=True)
class Fall:
    """Hold what is left of the score without a share of the entries, by how these were chosen.

    Args:
        share: Of the entries that were taken away.
        before: The score of the whole.
        after: By how they were chosen, the preset explained first.
    """

    share: float
    before: float
    after: Mapping[str, float]


def measure_falls(
    run: InnerRun,
    case: Case,
    coefficient: Tensor,
    rankings: Mapping[str, Tensor],
    test: Deletion,
) -> list[Fall]:
    """Return how far the score falls, for each share.

    Args:
        run: Of the model, on the case's inputs.
        case: What is explained.
        coefficient: Of the output in the explained number.
        rankings: By name, a number per entry: those of the largest numbers are taken away.
        test: How.
    """
    size = next(iter(rankings.values())).shape
    # The same draws at every call: the page is the same, too.
    generator = torch.Generator().manual_seed(0)
    chance = [torch.rand(size, generator=generator) for _ in range(_DRAWS)]

    def left(ranking: Tensor, share: float) -> float:
        held = case.blank(run.held, _largest(ranking, share))
        return test.score(run.output_with(held), coefficient)

    return [
        Fall(
            share,
            test.score(run.explained, coefficient),
            {name: left(ranking, share) for name, ranking in rankings.items()}
            | {"random": sum(left(draw, share) for draw in chance) / _DRAWS},
        )
        for share in test.shares
    ]


def _largest(ranking: Tensor, share: float) -> Tensor:
    """Return a mask of the entries with the largest numbers, at least one."""
    count = max(1, round(share * ranking.numel()))
    mask = torch.zeros(ranking.numel(), dtype=torch.bool)
    mask[ranking.flatten().argsort(descending=True, stable=True)[:count]] = True
    return mask.reshape(ranking.shape)
