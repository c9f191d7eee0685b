"""Many targets together give what each gives alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lrp_engine import Engine
from lrp_engine.errors import RuleError
from lrp_engine.promises.policy import Policy
from tests.support import assert_close, draw
from tests.test_promises import each_model, engine_of, model_of


@each_model
def test_all_classes_together_are_what_each_is_alone(name):
    engine, inputs = engine_of(name, Policy.BALANCED), model_of(name)[1]
    position = -1 if name in ("gpt2", "llama") else None
    targets = [0, 2, {0: 1.0, 1: -1.0}]
    together = engine.explain_all(inputs, targets, position=position)
    for target, found in zip(targets, together, strict=True):
        alone = engine.explain(inputs, target, position=position)
        assert_close(found.explained, alone.explained, 1e-14)
        assert_close(found.relevance["input"], alone.relevance["input"], 1e-12)
        assert_close(found.coefficient["input"], alone.coefficient["input"], 1e-12)
        assert found.provenance == alone.provenance


def test_every_class_is_the_default_and_chunks_change_nothing():
    engine, inputs = engine_of("Conv", Policy.KEEP), model_of("Conv")[1]
    every = engine.explain_all(inputs)
    assert len(every) == every[0].output.shape[-1]
    for one, other in zip(every, engine.explain_all(inputs, at_once=2), strict=True):
        assert_close(one.relevance["input"], other.relevance["input"], 1e-13)
    every[1].check()


def test_every_position_of_a_sequence():
    engine, inputs = engine_of("gpt2", Policy.KEEP), model_of("gpt2")[1]
    length = inputs["input_ids"].shape[1]
    together = engine.explain_all(inputs, [(3, place) for place in range(length)])
    for place, found in enumerate(together):
        alone = engine.explain(inputs, 3, position=place)
        assert_close(found.relevance["input"], alone.relevance["input"], 1e-12)
        later = found.relevance["input"][:, place + 1 :]
        assert later.numel() == 0 or later.abs().max() == 0


def test_what_cannot_run_together_says_so():
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ torch.ones(4, 2, dtype=x.dtype)

    engine = Engine(Odd().eval(), draw(2, 4), dynamic=False)
    program = engine.program

    def needs_a_number(values):
        return [values[0] * float(values[0].sum())]

    program.__dict__["batched"] = needs_a_number
    with pytest.raises(RuleError, match="explain_each"):
        engine.explain_all(draw(2, 4), [0, 1])
