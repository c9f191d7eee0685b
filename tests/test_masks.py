"""Masks that export writes out are recognised, and only where that is right."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp_engine as lrp


class Attention(nn.Module):
    """One attention layer with a mask of the length's own making."""

    def __init__(self, window: int | None, causal: bool = True) -> None:
        super().__init__()
        self.project = nn.Linear(4, 12)
        self.window, self.causal = window, causal

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unsqueeze(1).chunk(3, -1)
        rows = torch.arange(x.shape[1])[:, None]
        columns = torch.arange(x.shape[1])[None]
        mask = columns <= rows if self.causal else columns >= 0 * rows
        if self.window:
            mask = mask & (columns > rows - self.window)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).squeeze(1).sum((1, 2))


def explained(model: nn.Module, length: int, at: int) -> tuple[lrp.Engine, lrp.Explanation, Tensor]:
    x = torch.randn(2, at, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    engine = lrp.Engine(model, torch.randn(2, length, 4, dtype=torch.float64))
    return engine, engine.explain(x), x


@pytest.mark.parametrize("causal", [True, False])
def test_a_mask_of_sizes_alone_is_left_to_the_kernel(causal: bool) -> None:
    model = Attention(None, causal).double().eval()
    engine, explanation, x = explained(model, length=6, at=9)
    fixed = lrp.Engine(model, x, dynamic=False).explain(x)
    assert len(engine.captured.claims) == 1
    assert not any("ones" in str(n.target) for n in engine.program.forward.graph.nodes)
    assert torch.equal(explanation.output, model(x))
    torch.testing.assert_close(
        explanation.relevance["x"], fixed.relevance["x"], rtol=1e-12, atol=1e-14
    )


def test_a_sliding_window_that_shows_at_the_example_stays_a_mask() -> None:
    model = Attention(window=3).double().eval()
    engine, explanation, x = explained(model, length=6, at=9)
    assert not engine.captured.claims
    assert torch.equal(explanation.output, model(x))


def test_a_window_longer_than_all_that_was_tried_is_refused_once_it_shows() -> None:
    model = Attention(window=40).double().eval()
    engine, _, _ = explained(model, length=6, at=9)
    assert engine.captured.claims
    with pytest.raises(lrp.LrpError, match="attention mask is of another kind"):
        engine.explain(torch.randn(2, 64, 4, dtype=torch.float64))
    engine.explain(torch.randn(2, 12, 4, dtype=torch.float64)).check()


def test_a_mask_given_as_an_input_is_never_left_out() -> None:
    class Given(nn.Module):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x, attn_mask=mask).sum((1, 2))

    x, mask = (
        torch.randn(2, 5, 4, dtype=torch.float64),
        torch.ones(2, 5, 5, dtype=torch.bool).tril(),
    )
    engine = lrp.Engine(Given().eval(), (x, mask))
    assert not engine.captured.claims
    engine.explain((x, mask)).check()
