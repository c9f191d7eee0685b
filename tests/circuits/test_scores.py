"""Scores and exact patches against hooks and autograd on the user's own model."""

import pytest
import torch
from torch import Tensor, nn

from lrp_engine.circuits import (
    CircuitModel,
    Direction,
    Pairs,
    compare,
    patch,
    score,
)
from lrp_engine.errors import InputError, SourceError, TargetError
from tests.circuits import references as slow

LAYERS, HEADS = 4, 4
PATHS = [f"transformer.h.{i}.{part}" for i in range(LAYERS) for part in ("attn", "mlp")]
NAMES = [f"blocks.{i}.hook_{part}_out" for i in range(LAYERS) for part in ("attn", "mlp")]


def delta(hf_model: nn.Module, pairs: Pairs) -> dict[str, Tensor]:
    with torch.no_grad():
        clean = slow.recorded(hf_model, pairs.clean, PATHS)
        corrupt = slow.recorded(hf_model, pairs.corrupt, PATHS)
    return {path: clean[path] - corrupt[path] for path in PATHS}


def test_gradient_scores_are_attribution_patching(
    model: CircuitModel, hf_model: nn.Module, pairs: Pairs
) -> None:
    scores = score(model, pairs, ["attn_out", "mlp_out"], estimator="gradient")
    slopes = slow.gradients(hf_model, pairs.corrupt, PATHS, pairs.metric)
    change = delta(hf_model, pairs)
    for path, name in zip(PATHS, NAMES, strict=True):
        torch.testing.assert_close(scores[name], (slopes[path] * change[path]).sum(-1))


@pytest.mark.parametrize("preset, ah", [("relp", False), ("relp_ah", True)])
def test_relp_scores_are_relp(
    model: CircuitModel, hf_model: nn.Module, pairs: Pairs, preset: str, ah: bool
) -> None:
    scores = score(model, pairs, ["attn_out", "mlp_out"], estimator=preset)
    weights = {name: w.detach() for name, w in hf_model.state_dict().items()}
    ids = pairs.corrupt["input_ids"]
    c = slow.relp_gpt2(weights, ids, LAYERS, HEADS, pairs.metric, ah)
    change = delta(hf_model, pairs)
    for path, name in zip(PATHS, NAMES, strict=True):
        torch.testing.assert_close(
            scores[name], (c[path] * change[path]).sum(-1), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("direction", Direction)
def test_exact_patches_are_what_hooks_give(
    model: CircuitModel, hf_model: nn.Module, pairs: Pairs, direction: Direction
) -> None:
    exact = patch(model, pairs, ["blocks.1.hook_attn_out"], direction=direction, at_once=4)
    base, other = pairs.corrupt, pairs.clean
    if direction is Direction.NOISE:
        base, other = other, base
    path = "transformer.h.1.attn"
    donor = slow.recorded(hf_model, other, [path])[path].detach()
    start = pairs.metric(hf_model(**base).logits).detach()
    for position in (0, 9, 10, 14):
        output = slow.patched_output(hf_model, base, path, (slice(None), position), donor)
        change = pairs.metric(output) - start
        change = change if direction is Direction.DENOISE else -change
        found = exact["blocks.1.hook_attn_out"][:, position]
        torch.testing.assert_close(found, change, rtol=1e-9, atol=1e-9)


def test_heads_and_neurons_are_patched_alone(
    model: CircuitModel, hf_model: nn.Module, pairs: Pairs
) -> None:
    """A head's z is a slice of what c_proj is given, neuron by neuron."""
    exact = patch(model, pairs, ["blocks.2.attn.hook_z"])["blocks.2.attn.hook_z"]
    module = hf_model.get_submodule("transformer.h.2.attn.c_proj")
    seen: list[Tensor] = []
    with module.register_forward_pre_hook(lambda _, args: seen.append(args[0])), torch.no_grad():
        hf_model(**pairs.clean)
        start = pairs.metric(hf_model(**pairs.corrupt).logits)
    clean, corrupt = seen
    for head, position in [(0, 14), (3, 10)]:
        columns = slice(24 * head, 24 * (head + 1))
        given = corrupt.clone()
        given[:, position, columns] = clean[:, position, columns]
        with module.register_forward_pre_hook(lambda _, args, g=given: (g,)), torch.no_grad():
            change = pairs.metric(hf_model(**pairs.corrupt).logits) - start
        torch.testing.assert_close(exact[:, position, head], change, rtol=1e-9, atol=1e-9)


def test_q_k_and_the_heads_of_the_softmax_get_nothing_under_the_ah_rule(
    model: CircuitModel, pairs: Pairs
) -> None:
    scores = score(model, pairs, ["q", "v"], estimator="relp_ah")
    assert not scores["blocks.2.attn.hook_q"].any()
    assert scores["blocks.2.attn.hook_v"].any()
    assert "no relevance reaches" in scores.notes[0]


def test_prompts_do_not_depend_on_their_batch(model: CircuitModel, pairs: Pairs) -> None:
    from lrp_engine.demo.ioi import ioi_pairs

    whole = score(model, ioi_pairs(count=5), "mlp_out")["blocks.2.hook_mlp_out"]
    part = score(model, pairs, "mlp_out")["blocks.2.hook_mlp_out"]
    torch.testing.assert_close(whole[:3], part)


def test_the_model_is_left_alone(hf_model: nn.Module, pairs: Pairs) -> None:
    before = {name: w.clone() for name, w in hf_model.state_dict().items()}
    own = CircuitModel(hf_model, pairs.clean)
    compare(own, pairs, "z", estimators=["relp"])
    patch(own, pairs, "blocks.3.hook_mlp_out")
    hooks = [m for m in hf_model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooks
    assert all(torch.equal(w, before[name]) for name, w in hf_model.state_dict().items())
    output, _ = own.activations((), own.leaves(pairs.clean))
    with torch.no_grad():
        assert torch.equal(output, hf_model(**pairs.clean).logits)


def test_bad_requests(model: CircuitModel, pairs: Pairs) -> None:
    with pytest.raises(SourceError, match="mlp_out"):
        score(model, pairs, "mlp_outt")
    with pytest.raises(InputError, match="relp"):
        score(model, pairs, estimator="relq")
    with pytest.raises(InputError, match="same shape"):
        Pairs(torch.ones(2, 3), torch.ones(2, 4), pairs.metric)
    with pytest.raises(TargetError, match="one number per prompt"):
        score(model, Pairs(pairs.clean, pairs.corrupt, lambda logits: logits.sum()))


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-1)


class OneNumber(nn.Module):
    """A module that gives one number per prompt, without any other axis."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = Mean()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mean(x)[:, None]


def test_a_module_of_one_number_per_prompt_has_a_score() -> None:
    clean, corrupt = torch.tensor([[1.0, 3.0], [2.0, 6.0]]), torch.tensor([[5.0, 1.0], [4.0, 0.0]])
    pairs = Pairs(clean, corrupt, lambda output: output[:, 0])
    scores = score(CircuitModel(OneNumber().eval(), clean), pairs, ["mean"], estimator="gradient")
    torch.testing.assert_close(scores["mean"], corrupt[:, 0] * (clean - corrupt).mean(-1))
