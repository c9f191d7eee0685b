"""Ops without a record: taken apart into ops that have one, or refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import CoverageError

aten = torch.ops.aten
Function = Callable[[Tensor, Tensor], Tensor]

X = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
Y = torch.rand(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) + 0.5

COMPOSED: dict[str, Function] = {
    "glu": lambda x, y: F.glu(x, -1),
    "instance norm": lambda x, y: F.instance_norm(x),
    "batch statistics": lambda x, y: F.batch_norm(x, None, None, training=True),
    "softshrink": lambda x, y: F.softshrink(x),
    "hardshrink": lambda x, y: F.hardshrink(x),
    "tanhshrink": lambda x, y: F.tanhshrink(x),
    "softsign": lambda x, y: F.softsign(x),
    "normalize": lambda x, y: F.normalize(x, dim=-1),
    "cosine similarity": lambda x, y: F.cosine_similarity(x, y, dim=-1),
    "pairwise distance": lambda x, y: F.pairwise_distance(x, y),
    "local response norm": lambda x, y: F.local_response_norm(x, 2),
    "addcdiv": lambda x, y: torch.addcdiv(x, x * 2, y),
    "rounded division": lambda x, y: x + torch.div(x, 0.5, rounding_mode="floor"),
    "outer": lambda x, y: torch.outer(x[0, 0], y[0, 0]),
    "kron": lambda x, y: torch.kron(x[0], y[0]),
    "tensordot": lambda x, y: torch.tensordot(x, y, dims=([1], [1])),
    "multi_dot": lambda x, y: torch.linalg.multi_dot([x[0], y[0].mT, x[0]]),
    "bilinear": lambda x, y: F.bilinear(x, y, torch.ones(2, 4, 4, dtype=x.dtype)),
    "computed kernel": lambda x, y: F.conv1d(x, y[:, :, :2]),
    "cdist": lambda x, y: torch.cdist(x, y),
    "max unpool": lambda x, y: F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2),
    "fold": lambda x, y: F.fold(F.unfold(x[None], 2), (3, 4), 2),
    "var_mean": lambda x, y: torch.stack(torch.var_mean(x, -1)),
    "power of tensors": lambda x, y: torch.pow(x.abs(), y),
    "quantile": lambda x, y: torch.quantile(x, 0.3, dim=-1),
    "nan_to_num": lambda x, y: torch.nan_to_num(x),
    "frac": lambda x, y: torch.frac(x),
    "trace": lambda x, y: torch.trace(x[0]),
    "cross entropy": lambda x, y: F.cross_entropy(x[:, 0], torch.tensor([0, 1])),
    "fft": lambda x, y: torch.fft.rfft(x).real + x[..., :3],
    "atan2": torch.atan2,
    "in place": lambda x, y: x.clone().mul_(2).add_(y),
}

REFUSED: dict[str, Function] = {
    "complex tanh": lambda x, y: torch.fft.rfft(x).tanh().real + x[..., :3],
    "power of an exponent by data": lambda x, y: torch.pow(x, y.sign()),
    "inverse": lambda x, y: torch.linalg.inv(x[0, :, :3]),
    "distance to a constant": lambda x, y: torch.cdist(x, torch.ones(5, 4, dtype=x.dtype)),
}


class Model(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.function(x, y)


@pytest.mark.parametrize("name", COMPOSED)
def test_composed_ops_are_explained_and_booked(name: str) -> None:
    if name == "quantile" and torch.__version__ < (2, 12):
        pytest.skip("torch 2.11 cannot trace it: it looks at the values")
    model = Model(COMPOSED[name]).eval()
    engine = lrp.Engine(model, (X, Y), dynamic=False)
    target = torch.ones_like(model(X, Y))
    result = engine.explain((X, Y), target, ledger=True)
    assert torch.equal(result.output, model(X, Y))
    result.ledger.check()
    assert abs(result.ledger.residual) <= 1e-12 * float(model(X, Y).abs().sum())


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused(name: str) -> None:
    with pytest.raises(CoverageError, match="without a rule"):
        lrp.Engine(Model(REFUSED[name]).eval(), (X, Y), dynamic=False)


def test_derivatives_that_torch_writes_in_place_work_at_any_size() -> None:
    """Their traces are made functional with the sizes left open."""

    def function(x: Tensor, y: Tensor) -> Tensor:
        cut = torch.maximum(x, y).clamp(-0.5, 0.5)
        spread = x.std(-1, keepdim=True) + torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return (cut + torch.rms_norm(x, [4]) + spread).sum((1, 2))

    model = Model(function).eval()
    engine = lrp.Engine(model, (X, Y))
    for batch in (2, 5):
        x, y = (t.repeat(3, 1, 1)[:batch] for t in (X, Y))
        result = engine.explain((x, y), ledger=True)
        result.ledger.check()
        alone = lrp.explain(model, (x[:1], y[:1]), dynamic=False)
        for name, relevance in result.relevance.items():
            torch.testing.assert_close(relevance[:1], alone.relevance[name], rtol=1e-12, atol=1e-15)
