"""Heads are found in any order of axes: as GPT-2 writes them, and as HookedTransformer does.

HookedTransformer computes queries, keys and values as (batch, position, head, feature): version 2
by einsum, version 3 by matrix products of which the key is permuted in one step.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import lrp_engine as lrp
from lrp_engine.circuits import CircuitModel, EdgeScores, Pairs, edge_scores, patch, score
from lrp_engine.circuits.ablation import prepare_ablation
from lrp_engine.circuits.circuit import top_edges
from lrp_engine.errors import SourceError

CLEAN = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]])
PAIRS = Pairs(
    CLEAN, torch.tensor([[1, 6, 3, 4], [2, 2, 3, 5]]), lambda y: y[:, -1, 3] - y[:, -1, 4]
)
HEADS, WIDTH, SIZE = 2, 8, 4


class HookPoint(nn.Module):
    """Returns what it was given, as TransformerLens's does."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def turn(x: Tensor) -> Tensor:
    """Write a turned copy slice by slice, as HookedTransformer's rotary positions do."""
    turned = x.clone()
    turned[..., 2:] = x[..., :2]
    turned[..., :2] = -x[..., 2:]
    return x + 0.1 * turned


class Attention(nn.Module):
    """One attention with weights (head, width, feature); `spelling` says how it is written."""

    def __init__(self, spelling: str) -> None:
        super().__init__()
        self.spelling = spelling
        for name in "QKV":
            setattr(self, f"W_{name}", nn.Parameter(torch.randn(HEADS, WIDTH, SIZE)))
            setattr(self, f"b_{name}", nn.Parameter(torch.randn(HEADS, SIZE)))
            setattr(self, f"hook_{name.lower()}", HookPoint())
        self.W_O = nn.Parameter(torch.randn(HEADS, SIZE, WIDTH))
        self.hook_z, self.hook_pattern, self.hook_result = HookPoint(), HookPoint(), HookPoint()

    def project(self, x: Tensor, name: str) -> Tensor:
        w, b = getattr(self, f"W_{name}"), getattr(self, f"b_{name}")
        if self.spelling == "einsum":
            out = torch.einsum("bpd,hdf->bphf", x, w) + b
        else:
            flat = w.permute(0, 2, 1).reshape(-1, WIDTH)
            out = functional.linear(x, flat, b.reshape(-1)).reshape(*x.shape[:2], HEADS, SIZE)
        return getattr(self, f"hook_{name.lower()}")(out)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.spelling == "gpt2":
            q, k, v = (t.transpose(1, 2) for t in (q, k, v))
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        if self.spelling == "einsum":
            scores = torch.einsum("bqhf,bkhf->bhqk", q, k)
        else:
            scores = q.permute(0, 2, 1, 3) @ k.permute(0, 2, 3, 1)
        causal = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).tril()
        pattern = torch.where(causal, scores / SIZE**0.5, -torch.inf).softmax(-1)
        guarded = torch.where(torch.isnan(pattern), torch.zeros_like(pattern), pattern)
        pattern = self.hook_pattern(guarded)
        if self.spelling == "einsum":
            return torch.einsum("bkhf,bhqk->bqhf", v, pattern)
        return (pattern @ v.permute(0, 2, 1, 3)).permute(0, 2, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self.project(x, name) for name in "QKV")
        z = self.hook_z(self.attend(turn(q), turn(k), v))
        if self.spelling == "einsum":
            return torch.einsum("bqhf,hfd->bqd", z, self.W_O)
        return functional.linear(z.flatten(2), self.W_O.flatten(0, 1).T)


class Net(nn.Module):
    """Two attentions and an MLP around a residual stream."""

    def __init__(self, spelling: str) -> None:
        super().__init__()
        self.embed, self.unembed = nn.Embedding(7, WIDTH), nn.Linear(WIDTH, 7)
        self.first, self.second = Attention(spelling), Attention(spelling)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 6), nn.GELU(), nn.Linear(6, WIDTH))
        self.hook_embed = HookPoint()
        self.blocks = nn.ModuleList([self.first, self.second])
        self.hook_dict = {"hook_first_key": self.first.hook_k}

    def forward(self, ids: Tensor) -> Tensor:
        x = self.hook_embed(self.embed(ids))
        x = x + self.first(x)
        x = x + self.mlp(x)
        return self.unembed(x + self.second(x))


@cache
def subject(spelling: str) -> CircuitModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net(spelling).double().eval()
    return CircuitModel(net, CLEAN)


@cache
def edges(spelling: str) -> EdgeScores:
    return edge_scores(subject(spelling), PAIRS)


@pytest.mark.parametrize("spelling", ["einsum", "permuted"])
def test_edges_tell_heads_apart_as_in_gpt2(spelling: str) -> None:
    expected, found = edges("gpt2"), edges(spelling)
    assert [r.name for r in found.readers] == [r.name for r in expected.readers]
    torch.testing.assert_close(found.values, expected.values)
    mean = found.mean()
    keys_and_values = {r.name: mean[:, i] for i, r in enumerate(found.readers) if r.head in (0, 1)}
    for kind in "kv":
        assert not torch.allclose(*(keys_and_values[f"a1.h{head}<{kind}>"] for head in (0, 1)))
    first, second = (mean[i] for i, w in enumerate(found.writers) if w.name in ("a0.h0", "a0.h1"))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("spelling", ["einsum", pytest.param("permuted", marks=pytest.mark.slow)])
def test_scores_patches_and_ablations_are_those_of_gpt2(spelling: str) -> None:
    def measure(which: str) -> list[Tensor]:
        model = subject(which)
        scored = score(model, PAIRS, ["q", "k", "v", "z"], estimator="gradient")
        patched = patch(model, PAIRS, ["q", "k", "z"])
        cut = prepare_ablation(model, PAIRS).run(top_edges(edges(which), 9))
        return [*scored.values.values(), *patched.values.values(), cut]

    torch.testing.assert_close(measure(spelling), measure("gpt2"))


def test_hook_points_have_names_though_they_compute_nothing() -> None:
    model = subject("permuted")
    assert {"hook_embed", "first.hook_q", "first.hook_pattern"} <= set(model.graph.modules)
    same = model.choose(["first.hook_k", "blocks.0.hook_k", "hook_first_key"])
    assert len({site.node for site in same}) == 1
    (site,) = model.choose("first.hook_pattern")
    assert site.own_name == "first.hook_pattern"
    with pytest.raises(SourceError, match="calls it nowhere under these settings"):
        model.choose("first.hook_result")


class Identities(nn.Module):
    """A value with several names, and one that is written to behind its hook point."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.linear, self.after = HookPoint(), nn.Linear(3, 4), nn.Identity()
        self.written, self.out = HookPoint(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.written(self.after(self.linear(self.before(x))) * 2)
        y.add_(1.0)
        return self.out(y.relu_())


def test_modules_that_return_their_argument_are_sources() -> None:
    model, x = Identities().eval(), torch.randn(2, 3)
    names = ["x", "before", "linear", "after", "written"]
    explanation = lrp.Engine(model, x, sources=names, preset="gradient").explain(x, 0)
    explanation.check()
    leaf = x.clone().requires_grad_()
    inner = model.linear(leaf) * 2
    gradients = torch.autograd.grad(model.out((inner + 1).relu())[:, 0].sum(), [leaf, inner])
    found = explanation.coefficient
    for name, expected in zip(("x", "before", "written"), (gradients[0], *gradients), strict=True):
        torch.testing.assert_close(found[name], expected)
    torch.testing.assert_close(found["after"], found["linear"])
