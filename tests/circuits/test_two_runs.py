"""Estimators of two runs: scores at full cuts sum to the metric's difference, edges to scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lrp_engine.circuits import (
    ESTIMATORS,
    CircuitModel,
    MixedEstimator,
    Pairs,
    Splice,
    compare,
    edge_scores,
    logit_difference,
    patch,
    score,
    score_features,
)
from lrp_engine.circuits.estimators import of_both_runs
from lrp_engine.errors import NotFiniteError, TargetError
from lrp_engine.method.registry import standard
from tests.circuits.nets import BUILDS, draw

RESIDUAL = ["embed", "resid_pre", "resid_post"]
ANSWER, WRONG = torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6])


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def subject(build: str) -> tuple[CircuitModel, Pairs, nn.Module]:
    net, clean, corrupt = draw(build)
    return CircuitModel(net, clean), Pairs(clean, corrupt, logit_difference(ANSWER, WRONG)), net


@pytest.fixture(scope="module", params=BUILDS)
def drawn(request: pytest.FixtureRequest) -> tuple[CircuitModel, Pairs, nn.Module]:
    return subject(request.param)


def gap_of(net: nn.Module, pairs: Pairs) -> Tensor:
    """The metric's difference by the model itself."""
    with torch.no_grad():
        return pairs.metric(net(pairs.clean)) - pairs.metric(net(pairs.corrupt))


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_scores_at_every_full_cut_sum_to_the_gap(
    drawn: tuple[CircuitModel, Pairs, nn.Module], direction: str
) -> None:
    model, pairs, net = drawn
    scores = score(model, pairs, RESIDUAL, estimator="delta", direction=direction)
    gap = gap_of(net, pairs)
    assert len(scores.cuts) == 1 + 2 + 2
    for name, values in scores.values.items():
        close(values.sum(1), gap)
        close(scores.cut_sums.sums[name], gap)
    assert scores.cut_sums.error < 1e-9
    assert scores.cut_sums.warning is None
    assert "1.000 of the metric's difference" in scores.table()


def test_both_directions_have_the_same_delta(
    drawn: tuple[CircuitModel, Pairs, nn.Module],
) -> None:
    model, pairs, _ = drawn
    kinds = ["z", "q", "k", "v", "mlp_out", "neuron"]
    one, other = (
        score(model, pairs, kinds, estimator="delta", direction=d) for d in ("denoise", "noise")
    )
    for name, values in one.values.items():
        close(values, other[name])


@pytest.mark.parametrize("name", ["delta", "delta_plus"])
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_edges_out_of_a_component_sum_to_its_score(
    drawn: tuple[CircuitModel, Pairs, nn.Module], name: str, direction: str
) -> None:
    model, pairs, net = drawn
    edges = edge_scores(model, pairs, estimator=name, direction=direction)
    scores = score(model, pairs, ["resid_pre", "z", "mlp_out"], estimator=name, direction=direction)
    out = dict(zip((w.name for w in edges.writers), edges.values.sum(2).T, strict=True))
    close(out["input"], scores["blocks.0.hook_resid_pre"].sum(1))
    for layer in range(2):
        close(out[f"m{layer}"], scores[f"blocks.{layer}.hook_mlp_out"].sum(1))
        heads = scores[f"blocks.{layer}.attn.hook_z"].sum(1)
        for head in range(3):
            close(out[f"a{layer}.h{head}"], heads[:, head])
    if name == "delta":
        for sums in edges.cut_sums.sums.values():
            close(sums, gap_of(net, pairs))


@pytest.mark.parametrize("family", ["softmax", "product"])
def test_a_wrong_rule_fails_the_identity(tmp_path: Path, family: str) -> None:
    """The gradient on one run in the place of a difference coefficient: sums are off."""
    right = standard().rules[family, "delta"]
    wrong = replace(right, name="planted", propagate=lambda call, c: call.vjp(c), absorbs="planted")
    preset = tmp_path / "planted.toml"
    preset.write_text(
        f'''title = "wrong"\ncites = "own"\nextends = "delta"\n
[[rule]]\nfamily = "{family}"\nuse = "planted"\n'''
    )
    net, clean, corrupt = draw("parallel")
    pairs = Pairs(clean, corrupt, logit_difference(ANSWER, WRONG))
    model = CircuitModel(net, clean, rules=[wrong])
    estimator = of_both_runs("planted", str(preset), "own", "a wrong rule")
    scores = score(model, pairs, "resid_pre", estimator=estimator)
    assert float((scores["blocks.0.hook_resid_pre"].sum(1) - gap_of(net, pairs)).abs().max()) > 1e-3
    assert scores.cut_sums.error > 1e-3


@pytest.mark.parametrize(
    "metric",
    [
        lambda logits: logits[:, -1, 0] * logits[:, -1, 1],
        lambda logits: logits[:, -1].log_softmax(-1)[:, 3],
        lambda logits: logits[:, -1].softmax(-1)[:, :4].sum(-1),
    ],
)
def test_metrics_that_are_not_linear(metric) -> None:  # type: ignore[no-untyped-def]
    net, clean, corrupt = draw("sequential")
    pairs = Pairs(clean, corrupt, metric)
    scores = score(CircuitModel(net, clean), pairs, "embed", estimator="delta")
    torch.testing.assert_close(
        scores["hook_embed"].sum(1), gap_of(net, pairs), rtol=1e-4, atol=1e-5
    )


class Bilinear(nn.Module):
    """One product of two linear maps: x -> (x A) (x B) w."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Linear(4, 4, dtype=torch.float64) for _ in range(2))
        self.out = nn.Linear(4, 2, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.a(x) * self.b(x)).sum(1)


def test_the_coefficient_of_a_product_is_its_gradient_halfway() -> None:
    torch.manual_seed(0)
    net, (clean, corrupt) = Bilinear().eval(), torch.randn(2, 3, 5, 4, dtype=torch.float64)
    pairs = Pairs(clean, corrupt, lambda out: out[:, 0])
    found = score(CircuitModel(net, clean), pairs, "a", estimator="delta")["a"]
    x = torch.lerp(corrupt, clean, 0.5)
    left, weight = net.b(x).detach(), net.out.weight[0].detach()
    close(found, ((net.a(clean) - net.a(corrupt)) * left * weight).sum(-1).detach())


class Ladder(nn.Module):
    """A residual stream of linear blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(5, 5, dtype=torch.float64) for _ in range(2))
        self.head = nn.Linear(5, 2, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x).sum(1)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_exact_patching_is_delta_on_linear_models(direction: str) -> None:
    torch.manual_seed(0)
    clean, corrupt = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    pairs = Pairs(clean, corrupt, lambda out: out[:, 0] - out[:, 1])
    model, kinds = CircuitModel(Ladder().eval(), clean), ["embed", "mlp_out", "resid_post"]
    exact = patch(model, pairs, kinds, direction=direction)
    for found in compare(model, pairs, kinds, estimators=["delta", "delta_plus"]):
        for name, values in found.values.items():
            close(values, exact[name])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_onnx_file_has_the_same_scores(tmp_path: Path) -> None:
    model, pairs, net = subject("parallel")
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        net, (pairs.clean,), path, dynamo=False, input_names=["ids"], output_names=["logits"],
        dynamic_axes={"ids": {0: "batch"}},
    )  # fmt: skip
    from_file = CircuitModel(path)
    kinds = ["resid_pre", "z", "mlp_out"]
    own, found = (score(m, pairs, kinds, estimator="delta") for m in (model, from_file))
    for name, values in own.values.items():
        close(found[name], values)
    own, found = (edge_scores(m, pairs, estimator="delta") for m in (model, from_file))
    close(found.values, own.values)


def test_features_and_error_sum_to_the_site_and_the_cut_to_the_gap() -> None:
    model, pairs, net = subject("sequential")
    torch.manual_seed(1)
    dictionary = nn.Module()
    encoder, decoder = (torch.randn(*s, dtype=torch.float64) for s in ((12, 7), (7, 12)))
    dictionary.encode = lambda x: (x @ encoder).relu()
    dictionary.decode = lambda f: f @ decoder + 1
    site = "blocks.1.hook_resid_pre"
    found = score_features(model, pairs, [Splice(site, dictionary)], estimator="delta")
    together = found.features[site].sum(-1) + found.errors[site]
    close(together, score(model, pairs, site, estimator="delta")[site])
    close(together.sum(1), gap_of(net, pairs))


def test_the_mix_by_its_definition() -> None:
    model, pairs, net = subject("grouped")
    kinds = ["z", "resid_pre"]
    g, d, mixed = compare(
        model, pairs, kinds, estimators=["gradient", "delta", "delta_plus"], direction="noise"
    )
    gap = gap_of(net, pairs)
    for name, values in mixed.values.items():
        for prompt in range(len(gap)):
            expected = [
                (1 - w) * a + w * b
                for a, b in zip(
                    g[name][prompt].flatten().tolist(),
                    d[name][prompt].flatten().tolist(),
                    strict=True,
                )
                for w in [min(1.0, max(0.0, 2 * b / float(gap[prompt])))]
            ]
            close(values[prompt].flatten(), torch.tensor(expected, dtype=torch.float64))


def test_runs_that_do_not_differ_have_scores_of_zero() -> None:
    model, pairs, _ = subject("sequential")
    same = Pairs(pairs.clean, pairs.clean, pairs.metric)
    for scores in compare(model, same, ["z", "resid_pre"], estimators=["delta", "delta_plus"]):
        assert not any(v.any() for v in scores.values.values())
        assert scores.cut_sums.ratios == {}


def test_delta_runs_the_model_twice_and_relevance_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pairs, _ = subject("sequential")
    asked: list[int] = []
    real = CircuitModel.activations
    monkeypatch.setattr(
        CircuitModel, "activations", lambda *given: (asked.append(1), real(*given))[1]
    )
    score(model, pairs, "z", estimator="delta")
    assert asked == []  # both runs come out of the programs that compute the coefficient
    assert [e.passes for e in (ESTIMATORS["delta"], ESTIMATORS["delta_plus"])] == [1, 2]
    assert isinstance(ESTIMATORS["delta_plus"], MixedEstimator)


class Steep(nn.Module):
    """Tiny values times a factor that float32 does not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(3, 3, bias=False)])

    def forward(self, x: Tensor) -> Tensor:
        return (self.blocks[0](x * 1e-30) * 1e30 * 1e30).sum(1)


@pytest.mark.parametrize("name", ["gradient", "delta"])
def test_a_coefficient_that_is_not_finite_is_an_error_that_names_its_place(name: str) -> None:
    torch.manual_seed(0)
    clean, corrupt = torch.randn(2, 2, 4, 3)
    pairs = Pairs(clean, corrupt, lambda out: out[:, 0])
    model = CircuitModel(Steep().eval(), clean)
    with pytest.raises(NotFiniteError, match=r"not finite at linear = aten\.linear"):
        score(model, pairs, "blocks.0", estimator=name)


def test_a_metric_without_a_finite_gradient_is_an_error() -> None:
    model, pairs, _ = subject("sequential")
    steep = Pairs(pairs.clean, pairs.corrupt, lambda logits: (0 * logits[:, -1, 0]).sqrt())
    with pytest.raises(TargetError, match="gradient of the metric"):
        score(model, steep, "z", estimator="delta")
