"""Filter relevance: of what arrives at a weighted sum only the largest share passes."""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor

from lrp_engine.method.call import Call, Coefficients, Form, Passed
from lrp_engine.method.op import WeightedSum
from lrp_engine.method.parameters import NotNegative, Share
from lrp_engine.method.relevance import sum_relevance
from lrp_engine.method.rule import rule
from lrp_engine.rules.epsilon import bias_share
from lrp_engine.rules.weighted_sum_terms import apply_transpose, relevance, share_out


class Rank(Enum):
    """The meaning of "largest": the largest values, or the largest magnitudes."""

    VALUE = "value"
    MAGNITUDE = "magnitude"


def largest(r: Tensor, keep: float, rank: Rank) -> Tensor:
    """Return a mask of the `keep` largest share of each sample's entries, one at least."""
    flat = r.flatten(1) if r.dim() > 1 else r.unsqueeze(0)
    size = flat if rank is Rank.VALUE else flat.abs()
    # In whole thousandths, so that a symbolic number of entries stays symbolic.
    count = torch.sym_max(1, flat.shape[1] * round(keep * 1000) // 1000)  # type: ignore[no-untyped-call]
    ordered = torch.sort(size, dim=1, descending=True).values
    return (size >= ordered.narrow(1, count - 1, 1)).view(r.shape)


def absorbs(
    call: Call[WeightedSum],
    c: Tensor,
    passed: Passed,
    keep: float,
    rank: Rank,
    epsilon: float,
) -> dict[str, Tensor]:
    """Return what the filter holds back, and what the epsilon rule absorbs of the rest."""
    r = relevance(call, c)
    kept = torch.where(largest(r, keep, rank), r, 0.0)
    ones = torch.ones_like(r)
    c = share_out(call.with_form(Form.RELEVANCE), kept, call.out, epsilon)
    lost = {"stabiliser": sum_relevance(kept, ones) - sum_relevance(c, call.out)}
    return {"filter": sum_relevance(r - kept, ones)} | lost | bias_share(call, c)


@rule(
    "filtered",
    family=WeightedSum,
    cites="dynamiclrp2025",
    takes=Form.EITHER,
    absorbs=absorbs,
    linear=False,
)
def filtered(
    call: Call[WeightedSum],
    c: Tensor,
    keep: Share = 1.0,
    rank: Rank = Rank.VALUE,
    epsilon: NotNegative = 1e-6,
) -> Coefficients:
    """Apply the epsilon rule to the `keep` largest share of each sample's relevances."""
    r = relevance(call, c)
    r = torch.where(largest(r, keep, rank), r, 0.0)
    return call.only(
        apply_transpose(call, share_out(call.with_form(Form.RELEVANCE), r, call.out, epsilon))
    )
