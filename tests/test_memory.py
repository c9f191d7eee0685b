"""Memory is foretold to the byte, budgets are honoured or refused, and checkpoints grow slowly."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from lrp_engine import Engine, LrpError
from lrp_engine.errors import InputError, PromiseError
from lrp_engine.promises.policy import MemoryBudget, Policy, parse_policy
from lrp_engine.run.inputs import flatten_inputs
from tests.support import assert_close, draw, seeded, skip_if_bytes_are_foretold_wrongly
from tests.test_promises import each_model, each_policy, engine_of, model_of
from tests.tracker import LiveBytes


def measured(engine: Engine, inputs: Any) -> int:
    """The peak of both programs, counted tensor by tensor while they run."""
    leaves, program = flatten_inputs(engine.captured, inputs), engine.program
    way = engine._explainer.pairs.whole
    seed = torch.ones_like(way.forward(*leaves)[engine.plan.output.position])
    with torch.no_grad(), LiveBytes() as live:
        values = list(way.forward(*leaves))
        outputs, kept = values[: program.outputs], values[program.outputs :]
        del values
        seed = seed.clone()
        given = [seed, *leaves, *kept]
        del kept
        way.relevance(given)
    assert outputs
    return live.peak


@each_policy
@each_model
def test_the_foretold_peak_is_the_measured_one(name, policy):
    skip_if_bytes_are_foretold_wrongly(name)
    engine = engine_of(name, policy)
    assert engine.memory().peak == measured(engine, model_of(name)[1])


def test_the_counter_counts():
    with LiveBytes() as live:
        a = torch.ones(100, dtype=torch.float64)
        b = a + 1
        del a
        c = b.view(10, 10)[:5] + 0  # a view costs nothing, the sum 400 bytes
        del b
    assert live.peak == 1600
    assert c.shape == (5, 10)


def block(width: int) -> nn.Sequential:
    """Four times as wide inside as what passes through it."""
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


def deep(layers: int, width: int = 8) -> nn.Sequential:
    """Blocks one after the other."""
    return seeded(lambda: nn.Sequential(*(block(width) for _ in range(layers))))


def test_low_memory_grows_with_the_root_of_the_depth():
    inputs, layers = draw(16, 8), (8, 24, 48)
    engines = [Engine(deep(n), inputs, preset="epsilon", dynamic=False) for n in layers]

    def growth(policy: Policy) -> float:
        peaks = [engine.with_policy(policy).memory().peak for engine in engines]
        return math.log(peaks[-1] / peaks[0]) / math.log(layers[-1] / layers[0])

    assert growth(Policy.KEEP) > 0.9
    assert growth(Policy.LOW_MEMORY) < 0.6


@pytest.mark.parametrize("name", ["gpt2", "llama", "Conv"])
def test_every_budget_is_honoured_or_refused_with_the_smallest_that_would_do(name):
    skip_if_bytes_are_foretold_wrongly(name)
    inputs, keep = model_of(name)[1], engine_of(name, Policy.KEEP)
    top = keep.memory().peak
    expected = keep.explain(inputs, 1, position=None if name == "Conv" else -1)
    for share in (1.0, 0.9, 0.75, 0.6, 0.01):
        engine = keep.with_policy(int(share * top))
        try:
            assert engine.memory().peak <= share * top
        except PromiseError as error:
            assert share < 1
            least = int(str(error).split("would do is ")[1].split(" bytes")[0])
            engine = keep.with_policy(least)
            assert share * top < engine.memory().peak <= least
        assert measured(engine, inputs) == engine.memory().peak
        found = engine.explain(inputs, 1, position=None if name == "Conv" else -1)
        assert_close(found.relevance["input"], expected.relevance["input"], 1e-14)


def test_a_generous_budget_does_no_work_twice():
    keep, low = (engine_of("llama", policy) for policy in (Policy.KEEP, Policy.LOW_MEMORY))
    assert keep.with_policy("1 GB").promises.work_again == 0.0
    tight = keep.with_policy(low.memory().peak)
    assert tight.promises.work_again > 0.0


def test_a_budget_is_held_for_larger_inputs_too():
    model = deep(6)
    engine = Engine(model, draw(4, 8), preset="epsilon")
    engine = engine.with_policy(engine.memory().peak)
    engine.explain(draw(4, 8), 0)
    engine.explain(draw(3, 8), 0)
    with pytest.raises(InputError, match="the budget is"):
        engine.explain(draw(5, 8), 0)


def test_memory_is_foretold_for_other_sizes():
    engine = Engine(deep(3), draw(1, 8), preset="epsilon")
    for batch in (1, 2, 9):
        inputs = draw(batch, 8)
        assert engine.memory(inputs).peak == measured(engine, inputs)
    assert engine.memory().peak == engine.memory(draw(1, 8)).peak


@pytest.mark.parametrize(
    "text, count",
    [("5 MB", 5_000_000), ("2gib", 2 * 2**30), ("1.5 kB", 1500), ("7b", 7), (12, 12)],
)
def test_budgets_are_read(text, count):
    assert parse_policy(text) == MemoryBudget(count)


@pytest.mark.parametrize("wrong", ["lean", "5 parsecs", 0, -3, True, 2.5, None])
def test_what_is_no_policy_is_refused(wrong):
    with pytest.raises(LrpError, match=r"polic|budget"):
        parse_policy(wrong)


def test_random_values_are_never_computed_again():
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * torch.rand_like(x)).relu() * x

    inputs = draw(3, 4)
    engine = Engine(Noisy().eval(), inputs)
    for policy in Policy:
        explanation = engine.with_policy(policy).explain(inputs, 0)
        total = explanation.relevance["input"].sum(-1)
        assert_close(total, explanation.explained, 1e-12)


def test_the_table_says_what_became_of_each_promise():
    table = engine_of("llama", Policy.LOW_MEMORY).promises
    text = str(table)
    assert "recomputed from" in text
    assert text.splitlines()[-1] == table.line()
    assert len(table.rows()) == len(table) == len(list(table))
    assert "% of the work done twice" in table.line()
