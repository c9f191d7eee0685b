"""AttnLRP as published: the engine against slow, autograd-free float64 references."""

from functools import cache

import pytest
import torch
from torch import Tensor

from lrp_engine import Engine, Explanation
from tests.references import attnlrp, models
from tests.references.models import FullDouble
from tests.support import assert_close

BUILD = {"gpt2": models.gpt2, "llama": models.llama, "bert": models.bert, "vit": models.vit}
each_model = pytest.mark.parametrize("name", BUILD)
each_attention = pytest.mark.parametrize("attention", ["eager", "sdpa"])


@cache
def engine_for(name: str, attention: str, batch: int = 2, length: int = 6, dynamic: bool = True):
    """An engine captured at the given sizes; the weights do not depend on them."""
    model, _ = BUILD[name](attn_implementation=attention)
    inputs = sized(name, batch, length)
    with FullDouble():
        return model, Engine(model, inputs, dynamic=dynamic)


def sized(name: str, batch: int, length: int) -> dict[str, Tensor]:
    sizes = {"batch": batch} | ({} if name == "vit" else {"length": length})
    return BUILD[name](**sizes)[1]


def explained(engine: Engine, name: str, inputs: dict[str, Tensor], target: object) -> Explanation:
    position = -1 if name in ("gpt2", "llama") else None
    # The model itself may be run beside the program: in float64 as well.
    with FullDouble():
        return engine.explain(inputs, target, position=position)


def relevance(ex: Explanation) -> Tensor:
    """At the words' embedding, or at the pixels."""
    return ex.relevance["pixel_values" if "pixel_values" in ex.relevance else "input_ids"]


@each_attention
@each_model
def test_relevance_is_that_of_the_reference(name, attention):
    model, engine = engine_for(name, attention)
    inputs, target = sized(name, 2, 6), torch.tensor([2, 1])
    with FullDouble():
        expected = attnlrp.explain(model, inputs, target)
    ex = explained(engine, name, inputs, target)
    assert_close(relevance(ex), expected.relevance, 1e-10)
    assert_close(ex.explained, dict(expected.totals)["seed"], 1e-10)


@each_attention
@each_model
def test_logits_are_those_of_the_model_bit_by_bit(name, attention):
    model, engine = engine_for(name, attention)
    inputs = sized(name, 2, 6)
    with torch.no_grad(), FullDouble():
        expected = model(**inputs).logits
    assert torch.equal(explained(engine, name, inputs, 1).output["logits"], expected)


@each_attention
@each_model
def test_every_account_balances(name, attention):
    _, engine = engine_for(name, attention)
    explained(engine, name, sized(name, 2, 6), 1).check()


@each_model
def test_fused_and_unfused_attention_agree(name):
    inputs = sized(name, 2, 6)
    eager, fused = (
        relevance(explained(engine_for(name, attention)[1], name, inputs, 1))
        for attention in ("eager", "sdpa")
    )
    assert_close(fused, eager, 1e-10)


@pytest.mark.parametrize("attention, batch, length", [("eager", 1, 6), ("sdpa", 3, 9)])
@each_model
def test_one_capture_serves_other_sizes(name, attention, batch, length):
    _, free = engine_for(name, attention)
    _, fixed = engine_for(name, attention, batch, length, False)
    inputs = sized(name, batch, length)
    target = [2, 1, 0][:batch]
    found, expected = (relevance(explained(e, name, inputs, target)) for e in (free, fixed))
    assert_close(found, expected, 1e-12)


@each_attention
@each_model
def test_a_sample_does_not_depend_on_its_batch(name, attention):
    _, engine = engine_for(name, attention)
    inputs, target = sized(name, 3, 9), [2, 1, 0]
    together = relevance(explained(engine, name, inputs, target))
    for i in range(3):
        single = {key: leaf[i : i + 1] for key, leaf in inputs.items()}
        alone = relevance(explained(engine, name, single, target[i]))
        assert_close(together[i : i + 1], alone, 1e-12)
