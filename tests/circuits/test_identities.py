"""What must hold exactly: on a linear model, and for edges of any model."""

import pytest
import torch
from torch import Tensor, nn

from lrp_engine.circuits import (
    ESTIMATORS,
    CircuitModel,
    Pairs,
    compare,
    edge_scores,
    patch,
    score,
)
from lrp_engine.errors import SourceError


class Linear(nn.Module):
    """A residual stream of linear blocks, (batch, position, feature) -> (batch, 1)."""

    def __init__(self, blocks: int = 3, width: int = 5) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x).sum(1)


@pytest.fixture(scope="module")
def linear() -> tuple[CircuitModel, Pairs]:
    torch.manual_seed(0)
    net = Linear().double().eval()
    clean, corrupt = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    pairs = Pairs(clean, corrupt, lambda out: out[:, 0] - out[:, 1])
    return CircuitModel(net, clean), pairs


def test_exact_patching_is_every_estimator_on_a_linear_model(
    linear: tuple[CircuitModel, Pairs],
) -> None:
    model, pairs = linear
    kinds = ["embed", "resid_pre", "mlp_out", "resid_post"]
    exact = patch(model, pairs, kinds)
    assert len(exact.values) == 1 + 3 * 3
    for found in compare(model, pairs, kinds):
        for name, values in found.values.items():
            torch.testing.assert_close(values, exact[name])


def test_paths_into_the_output_sum_to_the_metric_difference(
    linear: tuple[CircuitModel, Pairs],
) -> None:
    model, pairs = linear
    for name in ESTIMATORS:
        edges = edge_scores(model, pairs, estimator=name)
        into_output = edges.values[:, :, -1].sum(1)
        torch.testing.assert_close(into_output, edges.clean - edges.corrupt)
    scores = score(model, pairs, "embed")
    torch.testing.assert_close(scores["hook_embed"].sum(1), scores.clean - scores.corrupt)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_edges_out_of_a_node_sum_to_its_score(model: CircuitModel, pairs: Pairs, name: str) -> None:
    edges = edge_scores(model, pairs, estimator=name)
    scores = score(model, pairs, ["resid_pre", "z", "mlp_out"], estimator=name)
    out = dict(zip((w.name for w in edges.writers), edges.values.sum(2).T, strict=True))
    torch.testing.assert_close(out["input"], scores["blocks.0.hook_resid_pre"].sum(1))
    for layer in range(4):
        heads = scores[f"blocks.{layer}.attn.hook_z"].sum(1)
        for head in range(4):
            torch.testing.assert_close(out[f"a{layer}.h{head}"], heads[:, head])
        torch.testing.assert_close(out[f"m{layer}"], scores[f"blocks.{layer}.hook_mlp_out"].sum(1))


def test_an_edge_is_a_path_derivative(
    model: CircuitModel, hf_model: nn.Module, pairs: Pairs
) -> None:
    """a1.h3 -> m2 by autograd: the gradient at m2's input, times what the head writes."""
    edges = edge_scores(model, pairs, estimator="gradient")
    inputs: list[Tensor] = []
    block = hf_model.get_submodule("transformer.h.2")

    def apart(_: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        alone = args[0].detach().requires_grad_()
        inputs.append(alone)
        return (alone,)

    with block.ln_2.register_forward_pre_hook(apart):
        pairs.metric(hf_model(**pairs.corrupt).logits).sum().backward()
    hf_model.zero_grad()
    projection = hf_model.get_submodule("transformer.h.1.attn.c_proj")
    seen: list[Tensor] = []
    with projection.register_forward_pre_hook(lambda _, a: seen.append(a[0])), torch.no_grad():
        hf_model(**pairs.clean), hf_model(**pairs.corrupt)
    columns = slice(72, 96)
    written = (seen[0] - seen[1])[..., columns] @ projection.weight[columns]
    assert inputs[0].grad is not None
    expected = (written * inputs[0].grad).sum((1, 2))
    names = [w.name for w in edges.writers], [r.name for r in edges.readers]
    found = edges.values[:, names[0].index("a1.h3"), names[1].index("m2")]
    torch.testing.assert_close(found, expected)


def test_heads_read_apart(model: CircuitModel, pairs: Pairs) -> None:
    """Query edges of all heads sum to the one edge into all queries at once."""
    edges = edge_scores(model, pairs)
    assert not edges.values[:, ~edges.possible].any()
    assert len(edges) == 12 * (1 + 6 + 11 + 16) + (5 + 10 + 15 + 20) + 21
    strongest = edges.top(1)[0]
    assert abs(strongest[2]) == float(edges.mean().abs().max())


class PostNorm(Linear):
    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = nn.functional.layer_norm(x + block(x), x.shape[-1:])
        return self.head(x).sum(1)


def test_a_stream_that_is_normalised_between_blocks_has_no_edges() -> None:
    x = torch.randn(4, 3, 5)
    model = CircuitModel(PostNorm().eval(), x)
    with pytest.raises(SourceError, match="changed between blocks"):
        edge_scores(model, Pairs(x, x + 1, lambda out: out[:, 0]))
