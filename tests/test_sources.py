"""Where relevance is wanted: inputs, embeddings, modules, nodes, in any company."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine, Explanation, explain
from tests import nets
from tests.references import models
from tests.support import assert_balances, assert_close, assert_conserves, draw, seeded

X, Y = draw(3, 6), draw(3, 6, seed=1)


class Blocks(nn.Module):
    """Bias-free, with a block that is called twice; no path around the blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(6, 6, False), nn.Linear(6, 4, False)
        self.shared = nn.Sequential(nn.Linear(6, 6, False), nn.ReLU())
        self.layers = nn.ModuleList(nn.Linear(6, 6, False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h = self.shared(self.shared(self.stem(x)))
        for layer in self.layers:
            h = h + torch.tanh(layer(h))
        return self.head(h)


def captured_at(model: nn.Module, inputs: Any) -> dict[str, list[Any]]:
    """What every submodule returned, call by call, as hooks see it."""
    seen: dict[str, list[Any]] = {name: [] for name, _ in model.named_modules()}
    handles = [
        module.register_forward_hook(lambda _m, _i, out, name=name: seen[name].append(out))
        for name, module in model.named_modules()
    ]
    with torch.no_grad():
        model(**inputs) if isinstance(inputs, dict) else model(inputs)
    for handle in handles:
        handle.remove()
    return seen


@cache
def at(*sources: str) -> Explanation:
    """Blocks explained at these places."""
    return explain(seeded(Blocks), X, target=1, sources=sources)


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source, module, call",
    [
        ("stem", "stem", 0),
        ("shared", "shared", 0),
        ("shared@1", "shared", 1),
        ("shared.0@1", "shared.0", 1),
        ("layers.2", "layers.2", 0),
        ("head", "head", 0),
    ],
)
def test_a_module_path_is_what_that_call_returned(source, module, call):
    ex = at(source)
    assert list(ex.relevance) == [source]
    value = captured_at(seeded(Blocks), X)[module][call]
    assert_close(ex.relevance[source], ex.coefficient[source] * value, 1e-14)


@pytest.mark.parametrize("source", ["x", "stem", "shared", "shared.0", "shared@1", "head"])
def test_relevance_is_conserved_at_every_cut_through_a_net_without_biases(source):
    assert_conserves(at(source), 1e-12)


def test_what_goes_around_a_source_is_booked_under_its_own_cause():
    ex = at("layers.0")
    arrived = ex.relevance["layers.0"].sum()
    assert ex.ledger.absorbed["other input"] == pytest.approx((ex.explained.sum() - arrived).item())
    assert_balances(ex.ledger, 1e-12)


def test_a_glob_names_several_modules():
    ex = at("layers.*")
    assert list(ex.relevance) == ["layers.0", "layers.1", "layers.2"]
    for name in ex.relevance:
        assert_close(ex.relevance[name], at(name).relevance[name], 1e-13)


def test_a_node_name_is_a_source():
    engine = Engine(seeded(Blocks), X, sources=["tanh_1"])
    ex = engine.explain(X, target=1)
    inner = captured_at(seeded(Blocks), X)["layers.1"][0].tanh()
    assert_close(ex.relevance["tanh_1"], ex.coefficient["tanh_1"] * inner, 1e-14)


def test_several_sources_at_once_get_what_each_gets_alone():
    together = at("x", "shared@1", "layers.0", "stem")
    for name in together.relevance:
        assert_close(together.relevance[name], at(name).relevance[name], 1e-13)
        assert_close(together.coefficient[name], at(name).coefficient[name], 1e-13)
    assert_balances(together.ledger, 1e-12)


def test_sources_need_not_lie_on_one_path():
    ex = explain(lambda left, right: left * right + left, (X, Y), target=2, sources=["right"])
    expected = torch.zeros_like(X)
    # The other factor is a constant where only one side is asked for.
    expected[:, 2] = X[:, 2] * Y[:, 2]
    assert_close(ex.relevance["right"], expected, 1e-14)
    assert ex.ledger.absorbed["other input"] == pytest.approx(X[:, 2].sum().item())


def test_the_only_source_is_also_called_input():
    ex = at("stem")
    assert torch.equal(ex.relevance["input"], ex.relevance["stem"])
    with pytest.raises(KeyError, match="choose from: x, stem"):
        at("x", "stem").relevance["input"]


# --- the coefficient ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", nets.INPUTS, ids=lambda k: k.__name__)
def test_coefficient_times_activation_is_relevance(kind):
    model, inputs = nets.net(kind, bias=True)
    ex = explain(model, inputs, target=1, dynamic=False)
    floating = inputs.dtype.is_floating_point
    activation = inputs if floating else captured_at(model, inputs)["table"][0]
    assert_close(ex.relevance["input"], ex.coefficient["input"] * activation, 1e-14)


def test_relevance_of_every_layer_of_a_transformer_comes_in_one_pass():
    model, inputs = models.llama(attn_implementation="sdpa")
    sources = ["model.embed_tokens", "model.layers.?", "model.layers.*.mlp", "lm_head"]
    ex = explain(model, inputs, target=3, position=-1, sources=sources)
    seen = captured_at(model, inputs)
    for name in ex.relevance:
        assert_close(ex.relevance[name], ex.coefficient[name] * seen[name][0], 1e-6)
    assert len(ex.relevance) == 6
    assert_close(ex.relevance["lm_head"].sum((1, 2)), ex.explained, 1e-14)
