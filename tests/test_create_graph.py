"""Relevance can be differentiated: by inputs, by parameters, through every family of rules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional as F

import lrp_engine as lrp
from lrp_engine import Preset
from lrp_engine.errors import InputError
from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import Pointwise
from lrp_engine.method.registry import standard
from lrp_engine.preset.preset import PresetRow
from lrp_engine.preset.preset_file import load
from tests.nets import Functional, Mlp, Norms, Residual, TiedLanguage, net
from tests.references import models
from tests.support import draw, seeded


class Attends(nn.Module):
    """Fused attention between norms and a gated feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(4, 12), nn.Linear(4, 4)
        self.first, self.second = nn.LayerNorm(4), nn.RMSNorm(4)
        self.gate, self.up, self.down = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.first(x)).unflatten(-1, (3, 2, 2)).movedim(-3, 0).transpose(2, 3)
        h = F.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.out(h.transpose(1, 2).flatten(2))
        y = self.second(x)
        return self.down(F.silu(self.gate(y)) * self.up(y)).mean(1)


class Pictures(nn.Module):
    """Convolution, batch norm, both poolings, a sigmoid, an interpolation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = F.softplus(self.norm(self.conv(x)))
        h = F.max_pool2d(h, 2) * F.avg_pool2d(h, 2).sigmoid()
        return self.head(F.interpolate(h, scale_factor=2)[:, :, ::2, ::2].flatten(1))


NETS: dict[str, tuple[Any, Tensor]] = {
    "attends": (Attends, draw(2, 3, 4)),
    "pictures": (Pictures, draw(2, 1, 4, 4)),
    **{
        kind.__name__: (lambda kind=kind: kind(True), net(kind)[1])
        for kind in (Mlp, Norms, Residual, Functional)
    },
}


def relevance_of(model: nn.Module, inputs: Tensor, preset: str, target: Any = 1) -> Any:
    engine = lrp.Engine(model, inputs, preset=preset)

    def relevance(x: Tensor, *_: Tensor) -> Tensor:
        return engine.explain(x, target, create_graph=True).relevance["input"]

    return relevance


@pytest.mark.parametrize("preset", ["attnlrp", "epsilon"])
@pytest.mark.parametrize("name", NETS)
def test_gradients_of_relevance(name: str, preset: str) -> None:
    """By the inputs and by every parameter, against finite differences."""
    build, inputs = NETS[name]
    model = seeded(build)
    x = inputs.clone().requires_grad_()
    function = relevance_of(model, inputs, preset)
    # gradcheck moves entries in place, so the model's own parameters are what it moves.
    assert gradcheck(function, (x, *model.parameters()), fast_mode=True, atol=1e-6, eps=1e-6)


def test_a_wrong_gradient_is_found() -> None:
    """The check itself: torch leaves the layer norm's scale out of its own derivative."""

    def scale(x: Tensor) -> Tensor:
        return torch.native_layer_norm(x, [4], None, None, 1e-5)[2]

    x = draw(2, 3, 4).requires_grad_()
    assert not gradcheck(scale, (x,), fast_mode=True, raise_exception=False)


def test_results_without_a_derivative_are_refused() -> None:
    @lrp.rule("by_product", family=Pointwise, cites="bach2015, eq. 56", absorbs="by product")
    def by_product(call: Call[Pointwise], c: Tensor) -> Coefficients:
        x = call["self"]
        scale = torch.native_group_norm(x[..., None], None, None, 3, 6, 1, 1, 1e-5)[2]
        return call.only(c * scale)

    preset = Preset("mine", "mine", (), (*attnlrp().entries, PresetRow("pointwise", "by_product")))
    model = nn.Sequential(nn.Tanh()).double().eval()
    engine = lrp.Engine(model, draw(3, 6), preset=preset, rules=[by_product])
    assert engine.explain(draw(3, 6), 1).relevance["input"].shape == (3, 6)
    with pytest.raises(InputError, match="native_group_norm"):
        engine.explain(draw(3, 6), 1, create_graph=True)


def attnlrp() -> Preset:
    return load("attnlrp", standard())


def test_nothing_but_the_recording_changes() -> None:
    model, inputs = net(Mlp, bias=True)
    engine = lrp.Engine(model, inputs, preset="epsilon")
    plain, recorded = engine.explain(inputs, 1), engine.explain(inputs, 1, create_graph=True)
    assert torch.equal(plain.relevance["input"], recorded.relevance["input"])
    assert torch.equal(plain.explained, recorded.explained)
    assert not plain.relevance["input"].requires_grad
    assert recorded.relevance["input"].requires_grad
    assert recorded.coefficient["input"].requires_grad
    assert recorded.explained.requires_grad
    assert recorded.ledger.as_dict() == plain.ledger.as_dict()
    with torch.no_grad():
        assert engine.explain(inputs, 1, create_graph=True).relevance["input"].requires_grad


def test_attention_written_out_gives_the_same_relevance() -> None:
    model, inputs = seeded(Attends), draw(2, 3, 4)
    engine = lrp.Engine(model, inputs)
    plain, recorded = engine.explain(inputs, 1), engine.explain(inputs, 1, create_graph=True)
    difference = (plain.relevance["input"] - recorded.relevance["input"]).abs().max()
    assert difference <= 1e-12 * plain.relevance["input"].abs().max()


def test_metrics_are_differentiated_twice() -> None:
    """The coefficient of a metric that is not linear depends on the output, too."""
    model, inputs = seeded(Mlp, True), draw(3, 6)
    function = relevance_of(model, inputs, "attnlrp", lambda out: out.softmax(-1)[:, 1])
    assert gradcheck(function, (inputs.clone().requires_grad_(),), fast_mode=True)


def test_a_language_model_learns_from_its_explanations() -> None:
    """One step against the relevance of the first token lowers it."""
    model, inputs = models.gpt2(attn_implementation="sdpa")
    engine = lrp.Engine(model, inputs)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        explanation = engine.explain(inputs, 3, position=-1, create_graph=True)
        loss = explanation.per_token("input_ids")[:, 0].square().sum()
        loss.backward()
        assert sum(p.grad is not None for p in model.parameters()) > 20
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[1] < losses[0]


def test_embeddings_are_sources_too() -> None:
    model, ids = net(TiedLanguage, bias=True)
    engine = lrp.Engine(model, ids)
    explanation = engine.explain(ids, 1, create_graph=True)
    next(iter(explanation.relevance.values())).square().sum().backward()
    assert model.table.weight.grad.abs().sum() > 0  # type: ignore[union-attr, operator]


def test_it_can_be_saved_and_drawn() -> None:
    model, inputs = net(Mlp, bias=True)
    engine = lrp.Engine(model, inputs)
    explanation = engine.explain(inputs, 1, create_graph=True, ledger=True)
    assert explanation.stored_ledger is not None
    assert explanation.to_html()
    assert explanation.plot()
