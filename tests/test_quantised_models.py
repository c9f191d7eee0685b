"""Whole quantised models, and what shows when a mechanism for them is switched off."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.ao.quantization.fx._decomposed
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine import checks
from lrp_engine.circuits import CircuitModel, Pairs, score
from lrp_engine.demo import digits_test_split, load_digits_net
from lrp_engine.plan import choices
from lrp_engine.plan.quantisation import Quantisation

X = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))


def by_row(h: Tensor) -> Tensor:
    scale = h.abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
    return (h / scale).round().clamp(-128, 127) * scale


def fake(h: Tensor) -> Tensor:
    zero = torch.zeros((), dtype=torch.int32)
    return torch.fake_quantize_per_tensor_affine(h, h.abs().amax().detach() / 127, zero, -128, 127)


def fake_by_channel(h: Tensor) -> Tensor:
    scale, zero = torch.full((h.shape[-1],), 0.04), torch.zeros(h.shape[-1], dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(h, scale, zero, h.dim() - 1, -128, 127)


def decomposed(h: Tensor) -> Tensor:
    ops, codes = torch.ops.quantized_decomposed, (0.04, 3, -128, 127, torch.int8)
    return ops.dequantize_per_tensor(ops.quantize_per_tensor(h, *codes), *codes)


class Quantised(nn.Module):
    """Another module with int8 weights, whose input is quantised."""

    def __init__(self, inner: nn.Module, quantise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.quantise = copy.deepcopy(inner), quantise
        with torch.no_grad():
            scale = self.inner.weight.abs().amax() / 127
            self.inner.weight.copy_((self.inner.weight / scale).round() * scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.quantise(x))


def quantised(model: nn.Module, quantise: Callable[[Tensor], Tensor] = by_row) -> nn.Module:
    """Return a copy of a model whose linear and convolution layers have 8 bits."""
    found = copy.deepcopy(model)
    for parent in list(found.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Linear, nn.Conv2d)):
                setattr(parent, name, Quantised(child, quantise))
    return found.eval()


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 3)).eval()


class Block(nn.Module):
    """A transformer block and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.last = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.norm(x)).view(*x.shape[:2], 3, 2, 16).unbind(2)
        q, k, v = (part.transpose(1, 2) for part in parts)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return (x + self.mlp(self.last(x))).mean(1)


def relevance(model: nn.Module, x: Tensor, preset: str = "attnlrp", policy: str = "") -> Tensor:
    engine = lrp.Engine(model.eval(), x, preset=preset, **({"policy": policy} if policy else {}))
    explanation = engine.explain(x, target=0)
    explanation.check()
    return explanation.relevance["input"]


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


@pytest.mark.parametrize("quantise", [by_row, fake, fake_by_channel, decomposed])
def test_every_spelling_is_the_float_net(quantise: Callable[[Tensor], Tensor]) -> None:
    assert correlation(relevance(quantised(mlp(), quantise), X), relevance(mlp(), X)) > 0.99


def test_digits_and_a_transformer_block_in_8_bits() -> None:
    images = digits_test_split()[0][:16]
    tokens = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1))
    for model, x in ((load_digits_net(), images), (Block(), tokens)):
        assert correlation(relevance(quantised(model), x), relevance(model, x)) > 0.99


@pytest.mark.parametrize("quantise", [fake, fake_by_channel])
def test_fake_quantisation_has_torchs_gradient(quantise: Callable[[Tensor], Tensor]) -> None:
    model = quantised(mlp(), quantise)
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    torch.testing.assert_close(relevance(model, X, "gradient"), (gradient * x).detach())


def test_policies_agree() -> None:
    wanted = relevance(quantised(mlp()), X)
    torch.testing.assert_close(relevance(quantised(mlp()), X, policy="keep"), wanted)
    torch.testing.assert_close(relevance(quantised(mlp()), X, policy="low_memory"), wanted)


def test_without_the_mechanism_for_scales_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = relevance(mlp(), X)
    monkeypatch.setattr(choices, "find_quantisation", lambda graph, registry: Quantisation())
    assert correlation(relevance(quantised(mlp()), X), wanted) < 0.95


def test_without_straight_through_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def through(h: Tensor) -> Tensor:
        return h + (torch.sign(h) - h).detach()

    wanted = relevance(mlp(), X)
    model = nn.Sequential(mlp()[0], Through(through), *mlp()[1:])
    plain = nn.Sequential(mlp()[0], *mlp()[1:])
    assert relevance(plain, X).equal(wanted)
    kept = relevance(model, X)
    monkeypatch.setattr(choices, "find_constant_choices", lambda *_: {})
    assert float(relevance(model, X).abs().sum()) < 0.1 * float(kept.abs().sum())


class Through(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def test_concentration_finds_what_collapsed() -> None:
    """In plain gradients only the scale of a row, its largest entry, has relevance."""
    for preset, status in (("gradient", "FAILED"), ("attnlrp", "PASSED")):
        engine = lrp.Engine(quantised(mlp()), X, preset=preset)
        report = checks.check(engine, X, 0)
        (finding,) = [f for f in report.findings if f.check == "concentration"]
        assert finding.status.name == status
    assert checks.check(engine, X, 0, budget=checks.Budget(concentration=0.01)).failed


class Seven(torch.autograd.Function):
    """A square with a backward pass of its own."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x * x

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return 7 * gradient


class Unseen(nn.Module):
    """Parts whose gradient the captured graph does not know; a detachment in place."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            constant = x * 3
        return Seven.apply(x) + constant + (x * 2).detach_()


def test_own_derivatives_are_named() -> None:
    engine = lrp.Engine(Unseen().eval(), X, preset="gradient")
    notes = "\n".join(engine.provenance.notes)
    assert "Seven has a backward pass of its own" in notes
    assert "torch.no_grad() at " in notes
    found = engine.explain(X, target=0).relevance["x"][:, 0]
    torch.testing.assert_close(found, 2 * X[:, 0] ** 2 + 3 * X[:, 0])


class Decorated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        return self.inner(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x) + x


def test_a_function_decorated_with_no_grad_is_named() -> None:
    line = Decorated.features.__wrapped__.__code__.co_firstlineno
    notes = lrp.Engine(Decorated().eval(), torch.ones(2, 4)).provenance.notes
    assert any(f"torch.no_grad() at {__file__}:{line}" in note for note in notes)


@pytest.mark.parametrize("quantise", [by_row, fake])
def test_circuits_see_a_quantised_net_as_engines_do(quantise: Callable[[Tensor], Tensor]) -> None:
    model, float_model = quantised(mlp(), quantise), mlp()
    wanted = lrp.Engine(model, X, preset="relp").explain(X, 0).relevance["input"]

    def metric(output: Tensor) -> Tensor:
        return output[:, 0]

    def score_of(net: nn.Module) -> Tensor:
        circuit = CircuitModel(net, X)
        (source,) = circuit.embeddings
        run = circuit.coefficients("relp", (source,)).run(circuit.leaves(X), _of_class_0)
        return run.coefficients[source] * X

    found = score_of(model)
    torch.testing.assert_close(found, wanted)
    assert correlation(found, score_of(float_model)) > 0.99
    pairs = Pairs(X, torch.zeros_like(X), metric)
    scores = [score(CircuitModel(net, X), pairs, ["1"])["1"] for net in (model, float_model)]
    assert correlation(*scores) > 0.99


def _of_class_0(output: Tensor) -> Tensor:
    return torch.zeros_like(output).index_fill_(1, torch.tensor([0]), 1.0)
