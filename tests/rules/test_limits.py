"""A value that equals its limit was not cut off, whatever torch's derivative says there."""

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine
from tests.support import assert_close

LOW, HIGH = -1.0, 1.0
X = torch.tensor([[-2.0, LOW, 0.0, 0.5, HIGH, 2.0]], dtype=torch.float64)


class Cut(nn.Module):
    """A weighted sum of what a limit leaves."""

    def __init__(self, limit) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.limit = limit
        self.register_buffer("bounds", torch.tensor([LOW, HIGH], dtype=X.dtype))
        self.register_buffer("weights", torch.arange(1.0, 7.0, dtype=X.dtype))

    def forward(self, x: Tensor) -> Tensor:
        return (self.limit(x, *self.bounds) * self.weights).sum(-1, keepdim=True)


LIMITS = {
    "both": (lambda x, low, high: x.clamp(LOW, HIGH), (LOW, HIGH)),
    "below": (lambda x, low, high: x.clamp_min(LOW), (LOW, torch.inf)),
    "above": (lambda x, low, high: x.clamp_max(HIGH), (-torch.inf, HIGH)),
    "tensors": (lambda x, low, high: torch.clamp(x, low, high), (LOW, HIGH)),
    "a tensor below": (lambda x, low, high: torch.clamp_min(x, low), (LOW, torch.inf)),
    "a tensor above": (lambda x, low, high: torch.clamp_max(x, high), (-torch.inf, HIGH)),
}


@pytest.mark.parametrize("preset", ["attnlrp", "epsilon", "epsilon_plus"])
@pytest.mark.parametrize("name", LIMITS)
def test_a_value_on_its_limit_is_its_own(name: str, preset: str) -> None:
    limit, (low, high) = LIMITS[name]
    model = Cut(limit).eval()
    result = Engine(model, X, preset=preset, dynamic=False).explain(X, 0, ledger=True).check()
    x = X
    own = (x >= low) & (x <= high)
    assert_close(result.relevance["x"], torch.where(own, X * model.weights, 0.0), 1e-12)
    cut = (limit(X, *model.bounds) * model.weights * ~own).sum()
    assert result.ledger.absorbed["constant"] == pytest.approx(float(cut), rel=1e-12)


def test_a_limit_of_more_axes_repeats_the_value() -> None:
    model = Cut(lambda x, low, high: torch.clamp(x, low.expand(3, 1), high).sum(0, keepdim=True))
    one = X[0]
    result = Engine(model.eval(), one, dynamic=False).explain(one, lambda out: out.sum()).check()
    own = (one >= LOW) & (one <= HIGH)
    assert_close(result.relevance["x"], torch.where(own, 3 * one * model.weights, 0.0), 1e-12)
