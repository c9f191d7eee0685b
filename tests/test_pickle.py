"""Engines, circuit models, explanations and errors are copied, pickled and sent to processes."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from lrp_engine import Engine, Explanation, rule
from lrp_engine.circuits import CircuitModel
from lrp_engine.errors import CoverageError, InputError, LrpError, NotFiniteError, RuleError
from lrp_engine.method.op import WeightedSum
from tests.support import draw, seeded

X = draw(3, 6)


def small() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 4)))


def pickled(what: Any) -> Any:
    return pickle.loads(pickle.dumps(what))


WAYS = pytest.mark.parametrize("way", [pickled, copy.deepcopy, copy.copy], ids=lambda w: w.__name__)


@WAYS
def test_an_engine(way: Any) -> None:
    engine = Engine(small(), X, preset="epsilon", policy="balanced", sources=["input"])
    found = way(engine)
    assert found.plan.preset == engine.plan.preset
    assert found.policy == engine.policy
    ours, theirs = engine.explain(X, 1), found.explain(X, 1)
    assert torch.equal(ours.relevance["input"], theirs.relevance["input"])
    assert ours.provenance == theirs.provenance


def test_a_deep_copy_has_a_model_of_its_own() -> None:
    model = small()
    engine = Engine(model, X)
    other = copy.deepcopy(engine)
    before = other.explain(X, 1).relevance["input"]
    with torch.no_grad():
        model[0].weight.mul_(2)
    assert torch.equal(other.explain(X, 1).relevance["input"], before)
    assert not torch.equal(engine.explain(X, 1).relevance["input"], before)


@WAYS
@pytest.mark.parametrize("options", [{}, {"ledger": True}, {"create_graph": True}], ids=str)
def test_an_explanation(way: Any, options: dict[str, bool]) -> None:
    explained = Engine(small(), X).explain(X, 1, **options)
    found: Explanation = way(explained)
    assert torch.equal(found.relevance["input"], explained.relevance["input"])
    assert torch.equal(found.coefficient["input"], explained.coefficient["input"])
    assert torch.equal(found.output, explained.output)
    assert found.ledger == explained.ledger
    found.check()


def test_an_explanation_whose_ledger_is_lost() -> None:
    x = X.clone()
    explained = Engine(small(), X).explain(x, 1)
    x.add_(1)
    with pytest.raises(InputError, match="changed in place"):
        pickled(explained).check()


def test_a_forward_is_refused() -> None:
    run = Engine(small(), X).forward(X)
    for way in (pickled, copy.deepcopy):
        with pytest.raises(InputError, match="take the engine, or the explanations"):
            way(run)


@rule("halve", family=WeightedSum, cites="own", absorbs="halved")
def halve(call, c):
    return tuple(g / 2 for g in call.vjp(c))


def test_rules_of_the_users_go_by_name() -> None:
    assert pickled(halve) is halve
    assert copy.deepcopy(halve) is halve

    @rule("inner", family=WeightedSum, cites="own", absorbs="halved")
    def inner(call, c):
        return call.vjp(c)

    with pytest.raises(RuleError, match="no module defines it"):
        pickle.dumps(inner)


def test_errors_keep_their_kind_and_message() -> None:
    class Odd(nn.Module):
        def forward(self, x):
            return torch.special.i1e(x)

    with pytest.raises(CoverageError) as caught:
        Engine(Odd().eval(), X)
    for error in (caught.value, NotFiniteError("where", "node"), InputError("what")):
        found = pickled(error)
        assert isinstance(found, LrpError)
        assert (type(found), str(found)) == (type(error), str(error))


@pytest.mark.slow
def test_another_process(tmp_path: Any) -> None:
    engine = Engine(small(), X)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(engine.explain, (X, 1))
        assert torch.equal(found.relevance["input"], engine.explain(X, 1).relevance["input"])
        with pytest.raises(InputError):
            pool.apply(engine.explain, (X[:, :2], 1))


@pytest.mark.slow
def test_a_circuit_model() -> None:
    from lrp_engine.demo.ioi import ioi_pairs, load_ioi_model

    pairs = ioi_pairs(count=2)
    model = CircuitModel(load_ioi_model(), pairs.clean)
    assert [s.name for s in pickled(model).sites] == [s.name for s in model.sites]
