"""Relevance is finite, or an error names the first op, from the output, at which it is not."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine, checks
from lrp_engine.errors import NotFiniteError
from lrp_engine.plan.infinities import Infinities
from lrp_engine.run import finiteness
from tests.support import draw, seeded

PRESETS = ("attnlrp", "epsilon_plus", "gradient")
X = torch.tensor([[0.5, 0.1, 2.0, 0.3], [1.5, -0.2, 0.7, 9.0]], dtype=torch.float64)


class Guarded(nn.Module):
    """A weighted sum of f(x) where x is large enough for f; `safe` is what f is given elsewhere."""

    def __init__(self, f, safe: bool) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.f, self.safe, self.last = f, safe, nn.Linear(4, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        good = x > 0.25
        inside = torch.where(good, x, 0.6) if self.safe else x * good
        return self.last(torch.where(good, self.f(inside), 0.0))


FUNCTIONS = {
    "log": torch.log,
    "entropy": lambda p: p * torch.log(p),
    "entr": torch.special.entr,
    "xlogy": lambda p: torch.special.xlogy(p, p),
    "ratio": lambda x: x / x.abs(),
    "reciprocal": lambda x: x * (1 / x),
    "rsqrt": lambda x: x * torch.rsqrt(x),
    "root": torch.sqrt,
    "power": lambda x: x * x**-1.5,
    "hypot": lambda x: torch.hypot(x, 2 * x),
    "softplus by hand": lambda x: torch.log(torch.exp(x) - 1),
    "log-sum-exp": lambda x: torch.stack([x.log(), x.log()], -1).logsumexp(-1),
    "softmax": lambda x: torch.stack([x.log(), x.log()], -1).softmax(-1).sum(-1) * x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_where_leaves_out_passes_nothing_on(name: str) -> None:
    """The same as of a model that never sees the value at which f or its slope is infinite."""
    plain, safe = (seeded(Guarded, FUNCTIONS[name], s) for s in (False, True))
    engines = [Engine(model, X, preset="epsilon") for model in (plain, safe)]
    for preset in PRESETS:
        found, wanted = (e.with_preset(preset).explain(X, 0, ledger=True) for e in engines)
        assert torch.allclose(found.relevance["x"], wanted.relevance["x"], rtol=1e-10, atol=1e-13)
        found.check()


def test_without_the_mechanism_the_fault_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Infinities, "needs_absorbing", lambda *_: False)
    engine = Engine(seeded(Guarded, torch.log, False), X)
    with pytest.raises(NotFiniteError, match=r"log = aten.log.default under rule .*test_finite.py"):
        engine.explain(X, 0)
    monkeypatch.setattr(finiteness.Answer, "read", lambda _: True)
    assert engine.explain(X, 0).relevance["x"].isnan().any()


def test_ops_of_usual_transformers_absorb_nothing() -> None:
    """The mechanism costs nothing where no slope is infinite."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
    plan = Engine(layer.double().eval(), draw(2, 3, 8)).plan
    assert not any(a.absorbs_zeros for a in plan.assignments)


class RootOfSquares(nn.Module):
    """A norm by hand, with an epsilon: it is never zero, which the plan knows."""

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return nn.functional.silu(x * scale)


def test_a_positive_epsilon_is_seen() -> None:
    plan = Engine(RootOfSquares().eval(), draw(2, 3)).plan
    assert not any(a.absorbs_zeros for a in plan.assignments)


class Overflows(nn.Module):
    """Small scales, then large ones: the coefficient in between is beyond float32."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.register_buffer("small", torch.full((4,), 1e-20))
        self.register_buffer("large", torch.full((4,), 1e20))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x) * self.small * self.small
        return (h * self.large * self.large).sum(-1, keepdim=True)


def overflowing() -> tuple[Engine, Tensor]:
    x = draw(2, 4).float()
    return Engine(seeded(Overflows, dtype=torch.float32), x, preset="gradient"), x


def test_the_first_op_of_the_backward_pass_is_named() -> None:
    engine, x = overflowing()
    for ask in (
        lambda: engine.explain(x, 0),
        lambda: engine.explain(x, 0, ledger=True),
        lambda: engine.explain_all(x, [0]),
        lambda: engine.forward(x).explain(0),
        lambda: engine.explain(x, 0, create_graph=True),
    ):
        with pytest.raises(NotFiniteError, match=r"began at .* = aten\.mul.*wider dtype") as caught:
            ask()
        assert caught.value.node is not None


def test_check_reports_it_as_a_finding() -> None:
    engine, x = overflowing()
    report = checks.check(engine, x, 0)
    (finding,) = [f for f in report.failed if f.check == "finite"]
    assert finding.place is not None
    assert finding.place.op.startswith("aten.mul")
    assert "relevance is not finite" in finding.message


def test_sums_that_overflow_are_looked_at_entry_by_entry() -> None:
    assert finiteness.Answer([torch.full((4,), 3e38)]).read()
    assert not finiteness.Answer([torch.tensor([1.0, torch.inf])]).read()
    assert not finiteness.Answer([torch.tensor([torch.inf, -torch.inf])]).read()


def test_an_answer_that_comes_later_is_read_with_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU: explain() returns at once, and the first access raises."""
    monkeypatch.setattr(finiteness.Answer, "is_here", property(lambda _: False))
    engine, x = overflowing()
    found = engine.explain(x, 0)
    repr(found)
    for look in (
        lambda: found.relevance["x"],
        lambda: found.coefficient["input"],
        lambda: found.to_html(),
        lambda: pickle.dumps(found.require_finite),
    ):
        with pytest.raises(NotFiniteError, match="began at"):
            look()


@pytest.mark.slow
def test_compiled_programs_raise_the_same() -> None:
    _, x = overflowing()
    model = seeded(Overflows, dtype=torch.float32)
    with pytest.raises(NotFiniteError):
        Engine(model, x, preset="gradient", compile=True).explain(x, 0)


def test_through_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    model = seeded(Guarded, torch.log, False, dtype=torch.float32)
    path = tmp_path / "guarded.onnx"
    torch.onnx.export(model, (X.float(),), path, dynamo=True, verbose=False)
    native = Engine(model, X.float()).explain(X.float(), 0).relevance["x"]
    found = Engine(path, X.float()).explain(X.float(), 0)
    assert torch.allclose(next(iter(found.relevance.values())), native, rtol=1e-5)
    found.check()
