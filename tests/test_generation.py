"""Language models in practice: generated tokens, padding on either side, attention sinks."""

from __future__ import annotations

import pytest
import torch

import lrp_engine as lrp
from lrp_engine.errors import InputError
from lrp_engine.generation import relevance_of_text
from tests.references import models
from tests.support import assert_close

START = 4


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def engine(request: pytest.FixtureRequest) -> lrp.Engine:
    model, inputs = getattr(models, request.param)(attn_implementation="sdpa")
    given = inputs | {"attention_mask": torch.ones_like(inputs["input_ids"])}
    places = torch.arange(inputs["input_ids"].shape[1]).expand_as(inputs["input_ids"])
    return lrp.Engine(model, given | {"position_ids": places})


def inputs_of(ids: torch.Tensor, mask: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Ids with mask, and positions that count only what is seen."""
    mask = torch.ones_like(ids) if mask is None else mask
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
    }


def test_each_written_token_is_explained_as_if_the_text_ended_there(engine: lrp.Engine) -> None:
    ids = models.tokens(3, 2, 7)["input_ids"]
    steps = list(lrp.explain_generation(engine, inputs_of(ids), START))
    assert [step.position for step in steps] == [4, 5, 6]
    together = relevance_of_text(steps, "input_ids")
    assert together.shape == (2, 3, 7)
    for step, found in zip(steps, together.unbind(1), strict=True):
        assert torch.equal(step.token, ids[:, step.position])
        prefix = inputs_of(ids[:, : step.position])
        alone = engine.explain(prefix, step.token, position=-1)
        assert_close(step.explanation.explained, alone.explained, 1e-10)
        assert_close(found[:, : step.position], alone.per_token("input_ids"), 1e-6)
        assert not found[:, step.position :].any()


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_gets_nothing_and_changes_nothing(engine: lrp.Engine, side: str) -> None:
    ids, pads = models.tokens(5, 2, 5)["input_ids"], torch.zeros(2, 3, dtype=torch.long)
    ones, none = torch.ones_like(ids), torch.zeros_like(pads)
    left = side == "left"
    padded = torch.cat([pads, ids] if left else [ids, pads], 1)
    mask = torch.cat([none, ones] if left else [ones, none], 1)
    last = 7 if left else 4
    plain = engine.explain(inputs_of(ids), 3, position=4).per_token("input_ids")
    found = engine.explain(inputs_of(padded, mask), 3, position=last).per_token("input_ids")
    assert_close(found[:, 3:] if left else found[:, :5], plain, 1e-6)
    assert not (found[:, :3] if left else found[:, 5:]).any()


def test_share_at_the_first_token(engine: lrp.Engine) -> None:
    ex = engine.explain(inputs_of(models.tokens(0, 2, 6)["input_ids"]), 3, position=-1)
    amounts = ex.per_token("input_ids").abs()
    assert_close(ex.share_at(0, "input_ids"), amounts[:, 0] / amounts.sum(1), 1e-14)
    everywhere = sum(ex.share_at(i, "input_ids") for i in range(6))
    assert_close(everywhere, torch.ones(2, dtype=everywhere.dtype), 1e-12)


@pytest.mark.parametrize("start", [0, 7])
def test_a_start_outside_of_the_text_is_refused(engine: lrp.Engine, start: int) -> None:
    inputs = inputs_of(models.tokens(0, 2, 7)["input_ids"])
    with pytest.raises(InputError, match="positions 1 to 6"):
        next(lrp.explain_generation(engine, inputs, start))


def test_an_unknown_name_for_the_tokens_is_refused(engine: lrp.Engine) -> None:
    inputs = inputs_of(models.tokens(0, 2, 7)["input_ids"])
    with pytest.raises(InputError, match="choose from: input_ids"):
        next(lrp.explain_generation(engine, inputs, 2, ids="words"))
