"""Loops over experts that skip those without tokens: as if nothing were skipped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine
from lrp_engine.errors import CaptureError, InputError
from tests.support import draw

Expert = Callable[[Tensor, Tensor, Tensor, nn.Module, int], Tensor | None]


def by_where(x: Tensor, weight: Tensor, chosen: Tensor, expert: nn.Module, k: int):
    token, slot = torch.where(chosen == k)
    if token.numel() == 0:
        return None
    found = expert(x[token]) * weight[token, slot].unsqueeze(-1)
    return torch.zeros_like(x).index_add_(0, token, found)


def by_nonzero(x: Tensor, weight: Tensor, chosen: Tensor, expert: nn.Module, k: int):
    places = (chosen == k).any(-1).nonzero().squeeze(-1)
    if places.shape[0] > 0:
        share = (weight * (chosen == k)).sum(-1)[places]
        return torch.zeros_like(x).index_copy(0, places, expert(x[places]) * share[:, None])
    return None


def by_any(x: Tensor, weight: Tensor, chosen: Tensor, expert: nn.Module, k: int):
    mask = (chosen == k).any(-1)
    if not mask.any():
        return None
    out = torch.zeros_like(x)
    out[mask] += expert(x[mask]) * (weight * (chosen == k)).sum(-1)[mask][:, None]
    return out


def by_count(x: Tensor, weight: Tensor, chosen: Tensor, expert: nn.Module, k: int):
    mask = chosen == k
    if mask.sum() == 0:
        return None
    return expert(x) * (weight * mask).sum(-1, keepdim=True)


class Routed(nn.Module):
    """Four experts of which every token takes two; bias-free."""

    def __init__(self, look: Expert) -> None:
        super().__init__()
        self.gate, self.out = nn.Linear(6, 4, bias=False), nn.Linear(6, 2, bias=False)
        self.experts = nn.ModuleList(nn.Linear(6, 6, bias=False) for _ in range(4))
        self.look = look

    def forward(self, x: Tensor) -> Tensor:
        weight, chosen = self.gate(x).softmax(-1).topk(2, -1)
        out = torch.zeros_like(x)
        for k, expert in enumerate(self.experts):
            found = self.look(x, weight, chosen, expert, k)
            out = out if found is None else out + found
        return self.out(out)


def by_hand(model: Routed, x: Tensor) -> Tensor:
    """Relevance of x for output 0: half of every product with a weight, the rest by the softmax.

    All experts are computed for all tokens, and choices are masks: nothing depends on data.
    """

    def dense(x: Tensor, half: bool) -> Tensor:
        weight, chosen = model.gate(x).softmax(-1).topk(2, -1)
        share = torch.zeros_like(model.gate(x)).scatter(1, chosen, weight)
        parts = torch.stack([expert(x) for expert in model.experts], 1)
        a, b = (parts, share.detach()) if half else (parts.detach(), share)
        return model.out((a * b[..., None]).sum(1))[:, 0].sum() / 2

    leaf = x.clone().requires_grad_()
    total = dense(leaf, True) + dense(leaf, False)
    (slope,) = torch.autograd.grad(total, leaf)
    return slope * x


@pytest.mark.parametrize("look", [by_where, by_nonzero, by_any, by_count])
def test_as_without_the_skip(look: Expert) -> None:
    torch.manual_seed(0)
    model = Routed(look).double().eval()
    x, other = draw(5, 6), draw(1, 6, seed=9).repeat(5, 1)  # of the second, two experts are empty
    engine = Engine(model, x)
    for given in (x, other):
        ex = engine.explain(given, target=0)
        torch.testing.assert_close(ex.output, model(given))
        torch.testing.assert_close(ex.relevance["x"], by_hand(model, given))
        ex.check()
        assert any("taken for not empty" in note for note in ex.provenance.notes)


class Branching(nn.Module):
    """Adds one for an empty selection, and so does compute something else then."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x[(x[:, 0] > 0).nonzero().squeeze(-1)]
        return x.sum(0) + (1.0 if rows.shape[0] == 0 else rows.sum(0))


def test_what_differs_where_nothing_is_selected_is_an_error() -> None:
    x = draw(4, 3).abs()
    engine = Engine(Branching().eval(), x)
    engine.explain(x, target=lambda out: out.sum()).check()
    with pytest.raises(InputError, match="control flow depends on its data"):
        engine.explain(-x, target=lambda out: out.sum())


class Converging(nn.Module):
    """Halves until small."""

    def forward(self, x: Tensor) -> Tensor:
        while x.abs().max() > 0.1:
            x = x / 2
        return x


def test_a_loop_until_convergence_is_recorded_or_refused_with_its_line() -> None:
    x = draw(2, 3)
    try:
        engine = Engine(Converging().eval(), x)
    except CaptureError as error:
        refusal = str(error)
    else:
        ex = engine.explain(x, target=0)
        torch.testing.assert_close(ex.output, Converging()(x))
        with pytest.raises(InputError, match="control flow depends on its data"):
            engine.explain(x * 100, target=0)
        return
    assert f"{__file__}:" in refusal
