"""The AttnLRP references themselves: their forward passes, their steps, their results."""

import math
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.references import attnlrp, gradient, models, steps
from tests.references.encoders import cut_patches, join_patches
from tests.references.layers import LayerNorm, Rotary
from tests.references.models import FullDouble

FACTORIES = [models.gpt2, models.llama, models.bert, models.vit]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.fixture
def draw(generator):
    """Random float64 tensors."""
    return lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)


def assert_conserved(relevance: Tensor, *parts: Tensor) -> None:
    """The parts sum to the relevance they came from, relative to what flowed."""
    scale = max(relevance.abs().sum(), *(part.abs().sum() for part in parts))
    assert abs(relevance.sum() - sum(part.sum() for part in parts)) <= 1e-12 * scale


def input_times_gradient(function, *operands: Tensor, relevance: Tensor) -> tuple[Tensor, ...]:
    """LRP-0 of a (multi)linear function as gradients give it."""
    leaves = [operand.clone().requires_grad_() for operand in operands]
    out = function(*leaves)
    grads = torch.autograd.grad(out, leaves, relevance / out.detach())
    return tuple(x * grad for x, grad in zip(operands, grads, strict=True))


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-11) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


# --- whole models ------------------------------------------------------------------------------


@pytest.mark.parametrize("full_double", [False, True])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("build", FACTORIES)
def test_own_forward_gives_the_logits_of_the_model(build, implementation, full_double):
    model, inputs = build(attn_implementation=implementation)
    with torch.no_grad(), FullDouble() if full_double else nullcontext():
        found = attnlrp.explain(model, inputs, 1)
        torch.testing.assert_close(found.logits, model(**inputs).logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("build", FACTORIES)
def test_relevance_is_seeded_per_sample_and_lies_at_the_source(build):
    model, inputs = build()
    target = torch.tensor([2, 1])
    with FullDouble():
        found = attnlrp.explain(model, inputs, target)
    last = found.logits[:, -1] if found.logits.dim() == 3 else found.logits
    name, total = found.totals[0]
    assert name == "seed"
    torch.testing.assert_close(total, last[[0, 1], target])
    assert found.relevance.isfinite().all()
    source = inputs.get("pixel_values")
    shape = (*inputs["input_ids"].shape, 16) if source is None else source.shape
    assert found.relevance.shape == shape
    for sample in range(2):
        single = {key: value[sample : sample + 1] for key, value in inputs.items()}
        with FullDouble():
            alone = attnlrp.explain(model, single, int(target[sample])).relevance
        assert_close(found.relevance[sample : sample + 1], alone, 1e-10)


def test_llama_conserves_relevance_outside_its_blocks():
    """There are no biases, so nothing but the softmax inside a block may change the total."""
    model, inputs = models.llama()
    totals = dict(attnlrp.llama(model, inputs, 3).totals)
    torch.testing.assert_close(totals["seed"], totals["norm"], rtol=1e-12, atol=0)
    torch.testing.assert_close(totals["layers.0"], totals["source"], rtol=0, atol=0)


def test_padded_tokens_get_no_relevance():
    model, inputs = models.bert()
    found = attnlrp.bert(model, inputs, 0).relevance
    assert (found[1, -2:] == 0).all()
    assert (found[0] != 0).all()


def test_unknown_inputs_are_refused():
    model, inputs = models.gpt2()
    with pytest.raises(ValueError, match="position_ids"):
        attnlrp.gpt2(model, inputs | {"position_ids": inputs["input_ids"]}, 0)


# --- single steps ------------------------------------------------------------------------------


def test_linear(draw):
    x, weight, bias, relevance = draw(4, 5), draw(3, 5), draw(3), draw(4, 3)
    assert_conserved(relevance, steps.linear(x, weight, x @ weight.T, relevance))
    (expected,) = input_times_gradient(lambda x: F.linear(x, weight, bias), x, relevance=relevance)
    assert_close(steps.linear(x, weight, F.linear(x, weight, bias), relevance), expected)


def test_division_by_exact_zero_moves_nothing():
    zero, one = torch.zeros(2), torch.ones(2)
    assert (steps.ratio(one, zero) == 0).all()
    assert (steps.add(one, -one, one)[0] == 0).all()


def test_add_and_product(draw):
    a, b, relevance = draw(4, 5), draw(4, 5), draw(4, 5)
    assert_conserved(relevance, *steps.add(a, b, relevance))
    assert_conserved(relevance, *steps.product(relevance))
    for found, expected in zip(
        steps.add(a, b, relevance),
        input_times_gradient(torch.add, a, b, relevance=relevance),
        strict=True,
    ):
        assert_close(found, expected)


def test_layer_norm(draw):
    module = torch.nn.LayerNorm(6, dtype=torch.float64).requires_grad_(False)
    module.weight.copy_(draw(6))
    x, relevance = draw(4, 6), draw(4, 6)
    layer = LayerNorm(module)
    torch.testing.assert_close(layer.forward(x), module(x), rtol=0, atol=1e-13)
    assert_conserved(relevance, layer.backward(relevance))
    module.bias.copy_(draw(6))
    std = (x.var(-1, unbiased=False, keepdim=True) + module.eps).sqrt()

    def frozen(x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)) / std * module.weight + module.bias

    layer.forward(x)
    (expected,) = input_times_gradient(frozen, x, relevance=relevance)
    assert_close(layer.backward(relevance), expected)


def test_rotary(draw):
    angles = draw(5, 2).repeat(1, 2)
    x, relevance = draw(2, 3, 5, 4), draw(2, 3, 5, 4)
    rotary = Rotary(angles.cos(), angles.sin())
    first, second = x.chunk(2, -1)
    turned = x * angles.cos() + torch.cat([-second, first], -1) * angles.sin()
    torch.testing.assert_close(rotary.forward(x), turned, rtol=0, atol=1e-14)
    assert_conserved(relevance, rotary.backward(relevance))


def test_attention_products(draw):
    weights, values, relevance = draw(2, 3, 5, 5), draw(2, 3, 5, 4), draw(2, 3, 5, 4)
    parts = steps.attend(weights, values, weights @ values, relevance)
    assert_conserved(relevance, *parts)
    expected = input_times_gradient(torch.matmul, weights, values, relevance=relevance)
    for found, whole in zip(parts, expected, strict=True):
        assert_close(found, whole / 2)


def test_query_key_products(draw):
    q, k, relevance = draw(2, 3, 5, 4), draw(2, 3, 5, 4), draw(2, 3, 5, 5)

    def score(q: Tensor, k: Tensor) -> Tensor:
        return 0.5 * q @ k.transpose(-1, -2)

    parts = steps.query_key(q, k, 0.5, score(q, k), relevance)
    assert_conserved(relevance, *parts)
    expected = input_times_gradient(score, q, k, relevance=relevance)
    for found, whole in zip(parts, expected, strict=True):
        assert_close(found, whole / 2)


def test_softmax_by_hand():
    scores, relevance = [0.3, -1.2, 0.8], [0.5, -0.25, 2.0]
    exponentials = [math.exp(score) for score in scores]
    output = [value / sum(exponentials) for value in exponentials]
    expected = [scores[i] * (relevance[i] - output[i] * sum(relevance)) for i in range(3)]
    # The same thing once more from the definition: score times the Jacobian, by loops.
    for i in range(3):
        looped = 0.0
        for j in range(3):
            jacobian = output[j] * ((i == j) - output[i])
            looped += scores[i] * jacobian * relevance[j] / output[j]
        assert looped == pytest.approx(expected[i], abs=1e-14)
    rows = [torch.tensor(row, dtype=torch.float64) for row in (scores, output, relevance)]
    found = steps.softmax(*rows, torch.ones(3, dtype=torch.bool))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_softmax_gives_masked_scores_nothing(draw):
    scores, allowed = draw(4, 4), torch.ones(4, 4, dtype=torch.bool).tril()
    hidden = scores.masked_fill(~allowed, -math.inf)
    found = steps.softmax(hidden, hidden.softmax(-1), draw(4, 4).tril(), allowed)
    assert (found[~allowed] == 0).all()
    assert found.isfinite().all()
    assert found[0, 0] == 0


def test_ungroup_sums_repeated_heads(draw):
    relevance = draw(2, 4, 5, 3)
    found = steps.ungroup(relevance, 2)
    assert_close(found[:, 1], relevance[:, 2] + relevance[:, 3])


def test_patches_are_cut_as_the_convolution_reads_them(draw):
    pixels, weight = draw(2, 3, 8, 12), draw(5, 3, 4, 4)
    patches = cut_patches(pixels, 4)
    convolved = F.conv2d(pixels, weight, stride=4).flatten(2).transpose(1, 2)
    assert_close(patches @ weight.flatten(1).T, convolved)
    assert (join_patches(patches, 4, pixels.shape) == pixels).all()


# --- against gradient formulations -------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_llama_agrees_with_a_gradient_formulation(seed):
    model, inputs = models.llama(seed)
    with FullDouble():
        expected, logits = gradient.llama(model, inputs["input_ids"], 5)
        found = attnlrp.llama(model, inputs, 5)
    assert_close(found.logits, logits, 1e-12)
    assert_close(found.relevance, expected, 1e-10)


@pytest.mark.parametrize(
    "build, source",
    [
        (models.gpt2, "transformer.wte"),
        (models.bert, "bert.embeddings.word_embeddings"),
        (models.vit, "pixel_values"),
    ],
)
def test_models_with_layer_norm_agree_with_a_gradient_formulation(build, source):
    model, inputs = build()
    for block in model.transformer.h if build is models.gpt2 else ():
        # The same function as a single call, which can be given a constant slope.
        block.mlp.act = torch.nn.GELU(approximate="tanh")
    with FullDouble():
        expected, logits = gradient.altered(model, inputs, source, 2)
        found = attnlrp.explain(model, inputs, 2)
    assert_close(found.logits, logits, 1e-12)
    assert_close(found.relevance, expected, 1e-10)
