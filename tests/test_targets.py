"""What is explained: every form of target gives the number and the relevance that it says."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine, explain
from lrp_engine.errors import InputError, TargetError
from tests.references import models
from tests.support import assert_close, draw, seeded

X = draw(3, 6)
CLASSES, WEIGHTS = torch.tensor([2, 0, 3]), {1: 1.0, 3: -0.5}


@cache
def classifier() -> tuple[nn.Module, Engine]:
    """Four classes, three samples."""
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 4)))
    return model, Engine(model, X)


@cache
def language_model() -> tuple[nn.Module, Engine, dict[str, Tensor]]:
    """GPT-2 with 29 words, batch 2, length 6."""
    model, inputs = models.gpt2(attn_implementation="sdpa")
    return model, Engine(model, inputs), inputs


def weighted(logits: Tensor) -> Tensor:
    return logits[..., 1] - 0.5 * logits[..., 3]


SAME: dict[str, list[Any]] = {
    "one class": [1, {1: 1.0}, [1, 1, 1], torch.tensor(1), torch.tensor([1, 1, 1])],
    "one class per sample": [[2, 0, 3], CLASSES, (2, 0, 3), CLASSES.int()],
    "weighted classes": [
        WEIGHTS,
        weighted,
        lambda logits: weighted(logits).sum(),
        torch.tensor([[0, 1, 0, -0.5]] * 3, dtype=torch.float64),
        torch.tensor([[0, 1, 0, -0.5]] * 3, dtype=torch.float32),
    ],
}


@pytest.mark.parametrize("kind", SAME)
def test_forms_of_one_target_agree(kind):
    _, engine = classifier()
    first, *others = (engine.explain(X, target) for target in SAME[kind])
    for other in others:
        assert_close(other.relevance["input"], first.relevance["input"], 1e-14)
        assert_close(other.explained, first.explained, 1e-14)


def test_the_explained_number_is_that_of_the_model():
    model, engine = classifier()
    logits = model(X).detach()
    assert_close(engine.explain(X, 1).explained, logits[:, 1], 1e-15)
    assert_close(engine.explain(X, CLASSES).explained, logits[range(3), CLASSES], 1e-15)
    assert_close(engine.explain(X, WEIGHTS).explained, weighted(logits), 1e-15)


def test_predicted_is_the_largest_output_of_each_sample():
    model, engine = classifier()
    largest = model(X).detach().argmax(-1)
    found, expected = engine.explain(X, "predicted"), engine.explain(X, largest)
    assert torch.equal(found.relevance["input"], expected.relevance["input"])
    for target in ({"predicted": 1, 0: -0.5}, [{"predicted": 1, 0: -0.5}] * 3):
        weights = torch.nn.functional.one_hot(largest, 4).double()
        weights[:, 0] -= 0.5
        found, expected = engine.explain(X, target), engine.explain(X, weights)
        assert_close(found.relevance["input"], expected.relevance["input"], 1e-14)


def test_each_sample_may_have_a_contrast_of_its_own():
    _, engine = classifier()
    weights = torch.tensor([[0, 1, 0, -1], [2, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)
    found = engine.explain(X, [{1: 1, 3: -1}, {0: 2}, 3])
    assert_close(found.relevance["input"], engine.explain(X, weights).relevance["input"], 1e-14)
    with pytest.raises(TargetError, match="one class per sample"):
        engine.explain(X, [{1: 1, 3: -1}])


def test_predicted_of_two_runs_is_that_of_the_explained_one():
    model, engine = classifier()
    largest = model(X).detach().argmax(-1)
    delta = engine.with_preset("delta")
    found, expected = (delta.explain(X, t, reference=0.0) for t in ("predicted", largest))
    assert_close(found.relevance["input"], expected.relevance["input"], 1e-14)
    assert_close(found.explained, expected.explained, 1e-14)


def test_predicted_at_positions_is_that_of_each_position():
    model, engine, inputs = language_model()
    largest = model(**inputs).logits.detach().argmax(-1)
    found = engine.explain(inputs, "predicted", position=-1)
    expected = engine.explain(inputs, largest[:, -1], position=-1)
    assert_close(found.explained, expected.explained, 1e-14)
    found = engine.explain(inputs, "predicted", position=slice(4, 6))
    seed = torch.zeros(*largest.shape, 29).double()
    seed[:, 4:] = torch.nn.functional.one_hot(largest[:, 4:], 29).double()
    assert_close(found.explained, engine.explain(inputs, seed).explained, 1e-13)


@pytest.mark.parametrize("target", ["predictd", {"cat": 1}, [0, "dog", 1]])
def test_a_name_is_refused_where_nobody_knows_names(target):
    with pytest.raises(TargetError, match=r"no class of this output.*classes="):
        classifier()[1].explain(X, target)


def test_explanations_are_linear_in_the_target():
    _, engine = classifier()
    both, a, b = (engine.explain(X, t).relevance["input"] for t in ({0: 1, 2: -1}, 0, 2))
    assert_close(both, a - b, 1e-13)


def test_a_metric_seeds_its_gradient():
    model, engine = classifier()
    logits = model(X).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(logits.logsumexp(-1).sum(), logits)
    found, expected = (engine.explain(X, t) for t in (lambda y: y.logsumexp(-1), gradient))
    assert_close(found.relevance["input"], expected.relevance["input"], 1e-14)
    assert_close(found.explained, (gradient * logits).sum(-1).detach(), 1e-14)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_a_model_with_one_number_per_sample_needs_no_target(shape):
    net = seeded(nn.Linear, 6, 1)
    model = lambda x: net(x).view(shape)  # noqa: E731
    ex = explain(model, X, dynamic=False)
    assert_close(ex.explained, net(X).detach().flatten(), 1e-14)
    assert_close(ex.relevance["x"], X * net.weight.detach(), 1e-14)


# --- positions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "position, rows",
    [
        (-1, [[5], [5]]),
        (2, [[2], [2]]),
        ([1, 4], [[1], [4]]),
        (torch.tensor([1, -2]), [[1], [4]]),
        (slice(2, 5), [[2, 3, 4]] * 2),
        (slice(None), [[0, 1, 2, 3, 4, 5]] * 2),
        (slice(None, None, 2), [[0, 2, 4]] * 2),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "target, weights",
    [
        (7, [{7: 1}, {7: 1}]),
        ([7, 3], [{7: 1}, {3: 1}]),
        ({7: 1, 3: -2}, [{7: 1, 3: -2}, {7: 1, 3: -2}]),
    ],
    ids=["one", "each", "weighted"],
)
def test_a_position_says_where_the_class_is_meant(position, rows, target, weights):
    _, engine, inputs = language_model()
    seed = torch.zeros(2, 6, models.VOCABULARY, dtype=torch.float64)
    for sample, at in enumerate(rows):
        for index, weight in weights[sample].items():
            seed[sample, at, index] = weight
    found = engine.explain(inputs, target, position=position)
    expected = engine.explain(inputs, seed)
    assert_close(found.relevance["input_ids"], expected.relevance["input_ids"], 1e-12)
    assert_close(found.explained, expected.explained, 1e-12)


def test_relevance_of_a_position_reaches_no_later_token():
    _, engine, inputs = language_model()
    found = engine.explain(inputs, 7, position=2).relevance["input_ids"]
    assert (found[:, 3:] == 0).all()
    assert (found[:, :3] != 0).all()


def test_a_metric_and_a_ready_tensor_choose_their_own_position():
    _, engine, inputs = language_model()
    seed = torch.zeros(2, 6, models.VOCABULARY, dtype=torch.float64)
    seed[:, -1, 7] = 1
    expected = engine.explain(inputs, 7, position=-1).relevance["input_ids"]
    for target in (seed, lambda logits: logits[:, -1, 7]):
        assert_close(engine.explain(inputs, target).relevance["input_ids"], expected, 1e-12)
        with pytest.raises(TargetError, match="a position was given, but no class"):
            engine.explain(inputs, target, position=-1)


# --- one forward, several targets --------------------------------------------------------------

TARGETS = [1, CLASSES, WEIGHTS, weighted]


def test_explain_each_equals_separate_explanations():
    _, engine = classifier()
    for found, target in zip(engine.explain_each(X, TARGETS), TARGETS, strict=True):
        expected = engine.explain(X, target)
        assert torch.equal(found.relevance["input"], expected.relevance["input"])
        assert torch.equal(found.explained, expected.explained)


def test_explain_each_takes_a_position():
    _, engine, inputs = language_model()
    for found, target in zip(engine.explain_each(inputs, [7, 3], position=-1), [7, 3], strict=True):
        expected = engine.explain(inputs, target, position=-1)
        assert_close(found.relevance["input_ids"], expected.relevance["input_ids"], 1e-12)


def test_one_forward_serves_several_targets_in_any_order():
    model, engine = classifier()
    run = engine.forward(X)
    assert torch.equal(run.output, model(X))
    for target in [*TARGETS, *reversed(TARGETS)]:
        found = run.explain(target)
        assert torch.equal(found.relevance["input"], engine.explain(X, target).relevance["input"])
        found.check()


def test_a_ledger_asked_for_at_once_and_later_is_the_same():
    _, engine = classifier()
    at_once, later = (engine.explain(X, 1, ledger=ledger) for ledger in (True, False))
    assert at_once.ledger == later.ledger
    assert_close(at_once.relevance["input"], later.relevance["input"], 1e-14)


# --- nothing passes on nothing ------------------------------------------------------------------


@pytest.mark.parametrize(
    "target, words",
    [
        (-1, "there is no class -1: classes are counted from 0. The last one is 3"),
        ([0, 1, -1], "there is no class -1"),
        ({-1: 1.0}, "there is no class -1"),
        (4, "class 4 is out of range"),
        (torch.tensor([0, 1, 4]), "class 4 is out of range"),
        (True, "a whole number, not True"),
        ([True, False, 2], "a whole number"),
        ({True: 1.0}, "a whole number, not True"),
        (torch.tensor([True, False, True]), "a whole number"),
        (torch.tensor(True), "a whole number"),
        (np.bool_(True), "a whole number"),
        (np.array([True, False, True]), "a whole number"),
        (1.0, "a whole number"),
        ({}, "gives no class a weight"),
        ({1: 0.0}, "gives no class a weight"),
    ],
    ids=str,
)
def test_what_names_no_class_is_refused(target, words):
    _, engine = classifier()
    with pytest.raises(TargetError, match=words):
        engine.explain(X, target)


def test_a_position_is_counted_from_the_end_but_is_no_flag():
    _, engine, inputs = language_model()
    with pytest.raises(TargetError, match="position is a whole number"):
        engine.explain(inputs, 7, position=True)
    with pytest.raises(TargetError, match="holds none of the 6 positions"):
        engine.explain(inputs, 7, position=slice(6, 9))


@pytest.mark.parametrize("target", [1, None, lambda y: y.sum(-1), torch.zeros(0, 4).double()])
def test_an_empty_batch_is_refused(target):
    _, engine = classifier()
    with pytest.raises(InputError, match="is empty: there is nothing to explain"):
        engine.explain(X[:0], target)


def test_an_output_without_entries_is_refused():
    engine = Engine(lambda x: x[:0] * 2, X, dynamic=False)
    with pytest.raises(TargetError, match="there is nothing to explain"):
        engine.explain(X, 0)


def test_without_the_guards_an_empty_batch_passes(monkeypatch):
    _, engine = classifier()
    monkeypatch.setattr("lrp_engine.run.inputs.check_not_empty", lambda *_: None)
    with pytest.raises(TargetError, match="there is nothing to explain"):
        engine.explain(X[:0], 1)
    monkeypatch.setattr("lrp_engine.run.target._require_samples", lambda *_: None)
    engine.explain(X[:0], 1).check()
