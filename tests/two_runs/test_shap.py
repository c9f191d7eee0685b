"""SHAP values add up where shap's own explainer fails; shapes and arguments are shap's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lrp_engine as lrp
from lrp_engine.errors import ConservationError, InputError
from lrp_engine.integrations.shap import DeepExplainer


class Transformer(nn.Module):
    """Patterns of shap issues 3438, 3881 (layer norm, GELU) and 4251 (attention)."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(1))


class GroupNormResNet(nn.Module):
    """Patterns of shap issue 3938: group norms, residual adds, a functional relu."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(2, 4) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = h + conv(F.relu(norm(h)))
        return self.head(h.mean((2, 3)))


class Recurrent(nn.Module):
    """Pattern of shap issue 2521: an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Rotary(nn.Module):
    """Attention with rotary positions, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(8, 24), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        angle = torch.arange(x.shape[1])[:, None] / 10 ** torch.arange(0, 1, 0.25)
        cos, sin = torch.cat([angle, angle], -1).cos(), torch.cat([angle, angle], -1).sin()

        def turned(t: Tensor) -> Tensor:
            a, b = t.chunk(2, -1)
            return t * cos + torch.cat([-b, a], -1) * sin

        weights = torch.softmax(turned(q) @ turned(k).transpose(-2, -1) / 8**0.5, -1)
        return self.head((weights @ v).mean(1))


class Reused(nn.Module):
    """Pattern of shap issues 1015 and 3476: one activation module used twice, a product."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.SiLU()
        self.a, self.b, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.a(x))
        return self.head(h * torch.sigmoid(self.act(self.b(h))))


class VisionTransformer(nn.Module):
    """Patches, a class token, positions."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.places = nn.Parameter(torch.randn(1, 5, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(x.shape[0], -1, -1), h], 1) + self.places
        return self.head(self.body(h)[:, 0])


def gelu_mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)
    )


def max_pool_cnn() -> nn.Module:
    """Pattern of shap issues 930 and 3725: a plain CNN."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        nn.Flatten(), nn.Linear(16, 3), nn.Softmax(-1),
    )  # fmt: skip


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "layer norm transformer": (Transformer, (5, 8)),
    "gelu": (gelu_mlp, (6,)),
    "group norm resnet": (GroupNormResNet, (1, 8, 8)),
    "lstm": (Recurrent, (6, 4)),
    "rotary": (Rotary, (5, 8)),
    "reused activation": (Reused, (6,)),
    "max pooling": (max_pool_cnn, (1, 8, 8)),
    "vit": (VisionTransformer, (1, 8, 8)),
}


@pytest.mark.parametrize("name", MODELS)
def test_values_add_up_in_single_precision(name: str) -> None:
    torch.manual_seed(0)
    build, shape = MODELS[name]
    model = build().eval()
    x, background = torch.randn(3, *shape), torch.randn(4, *shape)
    explainer = DeepExplainer(model, background)
    values = explainer.shap_values(x)
    with torch.no_grad():
        outputs, base = model(x).double().numpy(), model(background).double().mean(0).numpy()
    assert values.shape == (3, *shape, outputs.shape[1])
    np.testing.assert_allclose(explainer.expected_value, base, atol=1e-6)
    sums = values.reshape(3, -1, outputs.shape[1]).sum(1)
    assert np.abs(sums - (outputs - base)).max() <= 1e-5


def test_values_of_a_linear_model_are_those_of_the_formula() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 2).double().eval()
    x, background = torch.randn(3, 4).double(), torch.randn(5, 4).double()
    values = DeepExplainer(model, background).shap_values(x)
    weight = model.weight.detach()
    wanted = (x - background.mean(0))[:, :, None] * weight.T[None]
    np.testing.assert_allclose(values, wanted.numpy(), atol=1e-12)


def test_the_best_outputs_come_first() -> None:
    torch.manual_seed(0)
    model, x = gelu_mlp().eval(), torch.randn(3, 6)
    explainer = DeepExplainer(model, torch.randn(4, 6))
    every = explainer.shap_values(x)
    for order, key in (
        ("max", lambda y: -y),
        ("min", lambda y: y),
        ("max_abs", lambda y: -y.abs()),
    ):
        values, ranks = explainer.shap_values(x, ranked_outputs=2, output_rank_order=order)
        assert torch.equal(ranks, torch.argsort(key(model(x)))[:, :2])
        for sample in range(3):
            wanted = every[sample][:, ranks[sample].numpy()]
            np.testing.assert_allclose(values[sample], wanted, atol=1e-6)
    with pytest.raises(InputError, match="choose from: max, min, max_abs"):
        explainer.shap_values(x, 2, "best")


class TwoInputs(nn.Module):
    """One number per sample, from two inputs."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.sum(1) * b.sum(1)).tanh()


def test_several_inputs_give_a_list() -> None:
    torch.manual_seed(0)
    x = [torch.randn(3, 4), torch.randn(3, 2)]
    explainer = DeepExplainer(TwoInputs().eval(), [torch.randn(5, 4), torch.randn(5, 2)])
    values = explainer.shap_values(x)
    assert [v.shape for v in values] == [(3, 4, 1), (3, 2, 1)]
    sums = sum(v.reshape(3, -1).sum(1) for v in values)
    np.testing.assert_allclose(sums, TwoInputs()(*x).numpy() - explainer.expected_value, atol=1e-6)
    with pytest.raises(InputError, match="a list of inputs"):
        explainer.shap_values(x[0])


class Sorting(nn.Module):
    """What is picked by order differs between the runs: part of the difference is booked."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sort(1).values * torch.arange(4.0)


def test_what_does_not_add_up_is_an_error() -> None:
    torch.manual_seed(0)
    explainer = DeepExplainer(Sorting().eval(), torch.randn(3, 4))
    with pytest.raises(ConservationError, match="of the largest output"):
        explainer.shap_values(torch.randn(2, 4))
    assert explainer.shap_values(torch.randn(2, 4), check_additivity=False).shape == (2, 4, 4)


def test_a_background_is_the_mean_over_its_references() -> None:
    torch.manual_seed(0)
    model, x, many = (
        gelu_mlp().double().eval(),
        torch.randn(2, 6).double(),
        torch.randn(5, 6).double(),
    )
    engine = lrp.Engine(model, x, preset="delta")
    found = engine.explain(x, [0, 2], reference=lrp.Background(many, at_once=4))
    each = [engine.explain(x, [0, 2], reference=one[None]) for one in many]
    wanted = torch.stack([e.relevance["input"] for e in each]).mean(0)
    torch.testing.assert_close(found.relevance["input"], wanted, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.output, model(x))
    assert found.ledger.explained == pytest.approx(np.mean([e.ledger.explained for e in each]))
    found.check()
