"""Every promise is kept, under every policy, and the policies give the same relevance."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from lrp_engine import Engine
from lrp_engine.promises.policy import Policy
from lrp_engine.promises.promise import Fate
from tests import nets
from tests.references import models
from tests.support import assert_close, draw, seeded, skip_if_bytes_are_foretold_wrongly

TRANSFORMERS = {"gpt2": models.gpt2, "llama": models.llama, "vit": models.vit}
NETS = {k.__name__: k for k in (nets.Conv, nets.Functional, nets.InPlace, nets.TiedLanguage)}
each_model = pytest.mark.parametrize("name", [*TRANSFORMERS, *NETS])
each_policy = pytest.mark.parametrize("policy", Policy)


@cache
def model_of(name: str) -> tuple[nn.Module, Any]:
    if name in TRANSFORMERS:
        return TRANSFORMERS[name](attn_implementation="sdpa")
    return nets.net(NETS[name], bias=True)


@cache
def captured(name: str) -> Engine:
    model, inputs = model_of(name)
    return Engine(model, inputs, dynamic=False)


@cache
def engine_of(name: str, policy: Policy) -> Engine:
    return captured(name).with_policy(policy)


def explained(name: str, policy: Policy, **options: Any) -> Any:
    """The explanation of one class, at the last position if there are positions."""
    position = -1 if name in ("gpt2", "llama") else None
    engine = engine_of(name, policy)
    return engine.explain(model_of(name)[1], 1, position=position, **options)


@each_model
def test_policies_give_the_same_relevance(name):
    keep, *others = (explained(name, policy) for policy in Policy)
    for other in others:
        assert_close(other.relevance["input"], keep.relevance["input"], 1e-14)
        assert_close(other.coefficient["input"], keep.coefficient["input"], 1e-14)


@pytest.mark.parametrize("name", ["llama", "Conv"])
def test_policies_give_the_same_ledger(name):
    keep, *others = (explained(name, policy, ledger=True).check().ledger for policy in Policy)
    for other in others:
        assert other.absorbed == pytest.approx(keep.absorbed, rel=1e-10, abs=1e-12)


@each_model
def test_each_policy_needs_no_more_memory_than_the_one_before(name):
    keep, balanced, low = (engine_of(name, policy).program.memory.peak for policy in Policy)
    assert low <= balanced <= keep


def test_balanced_recomputes_to_keep_fewer_bytes():
    keep, balanced, _ = (engine_of("llama", policy).program for policy in Policy)
    assert balanced.kept_bytes < 0.9 * keep.kept_bytes
    assert Fate.RECOMPUTED in {promise.fate for promise in balanced.promises}


def ancestors(node: fx.Node) -> set[fx.Node]:
    found: set[fx.Node] = {node}
    for operand in node.all_input_nodes:
        found |= ancestors(operand)
    return found


@each_model
def test_keep_recomputes_nothing_but_constants(name):
    program = engine_of(name, Policy.KEEP).program
    nodes = {node.name: node for node in program.relevance.graph.nodes}
    for promise in program.promises:
        if promise.fate is Fate.RECOMPUTED:
            assert all(node.op != "placeholder" for node in ancestors(nodes[promise.value]))


@each_policy
@each_model
def test_the_forward_program_gives_the_models_own_output(name, policy):
    model, inputs = model_of(name)
    engine = engine_of(name, policy)
    with torch.no_grad():
        expected = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    found = engine.forward(inputs).output
    if name in TRANSFORMERS:
        found, expected = found["logits"], expected["logits"]
    assert torch.equal(found, expected)


def names_of(program: Any) -> tuple[set[str], list[str], set[str]]:
    """What the forward program keeps, what the relevance program takes, what it computes."""
    kept = program.forward.graph.output_node().args[0][program.outputs :]
    nodes = program.relevance.graph.nodes
    taken = [n.name for n in nodes if n.op == "placeholder"]
    return {n.name for n in kept}, taken, {n.name for n in nodes if n.op == "call_function"}


@each_policy
@each_model
def test_every_promise_is_kept_as_its_fate_says(name, policy):
    engine = engine_of(name, policy)
    kept, taken, computed = names_of(engine.program)
    assert kept <= set(taken)
    for promise in engine.promises:
        assert promise.asked_by
        assert promise.bytes > 0
        if promise.fate is Fate.KEPT:
            assert promise.value in kept
        elif promise.fate is Fate.RECOMPUTED:
            assert promise.value in computed
        elif promise.fate is Fate.FREE:
            assert promise.made_by == "input"
            assert promise.value in taken
        else:
            assert promise.fate is Fate.DERIVED
            assert promise.value not in kept | computed


@each_policy
@each_model
def test_the_kept_bytes_are_those_of_the_tensors_that_are_kept(name, policy):
    skip_if_bytes_are_foretold_wrongly(name)
    engine = engine_of(name, policy)
    kept = [v for v in engine.forward(model_of(name)[1]).kept if isinstance(v, Tensor)]
    storages = {s.data_ptr(): s.nbytes() for s in (v.untyped_storage() for v in kept)}
    assert engine.program.kept_bytes == sum(storages.values())


def test_the_relevance_program_lets_every_kept_value_go():
    engine = engine_of("Conv", Policy.KEEP)
    forward = engine.forward(model_of("Conv")[1])
    values = [torch.ones_like(forward.output), *forward.run.leaves, *forward.kept]
    engine.program.relevance(values)
    assert values == []


@pytest.mark.slow
def test_every_size_of_batch_keeps_its_own_promises():
    model, inputs = models.gpt2(attn_implementation="sdpa")
    engine = Engine(model, inputs)
    for batch, length in [(1, 3), (4, 9)]:
        _, sized = models.gpt2(batch=batch, length=length)
        fixed = Engine(model, sized, dynamic=False)
        for policy in Policy:
            pair = (engine.with_policy(policy), fixed.with_policy(policy))
            found, expected = (e.explain(sized, 3, position=-1) for e in pair)
            assert_close(found.relevance["input"], expected.relevance["input"], 1e-13)


@pytest.mark.slow
@each_policy
def test_compiled_programs_agree_with_eager_ones(policy):
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 4)))
    engines = [Engine(model, draw(3, 6), policy=policy, compile=c) for c in (False, True)]
    for inputs, target in [(draw(3, 6), 1), (draw(5, 6, seed=1), [0, 1, 2, 3, 0])]:
        eager, compiled = (engine.explain(inputs, target) for engine in engines)
        assert_close(compiled.relevance["input"], eager.relevance["input"], 1e-12)
        assert_close(compiled.output, eager.output, 1e-12)
        compiled.check()
