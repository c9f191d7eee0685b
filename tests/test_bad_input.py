"""Each bad input gets its own error that names the fact; afterwards the engine still works."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine
from lrp_engine.errors import (
    CaptureError,
    InputError,
    LrpError,
    SourceError,
    TargetError,
)
from tests.references import models
from tests.support import draw, seeded

X = draw(3, 6)
META = torch.device("meta")


def net(**options: Any) -> Engine:
    """Six features, four classes."""
    layers = lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 4))  # noqa: E731
    return Engine(seeded(layers), X, **options)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """One engine for all calls that fail: none may leave a mark on it."""
    return net()


def refused(call: Callable[[], Any], error: type[LrpError], *facts: str) -> None:
    """The call raises exactly this class of error, and the message holds the facts."""
    with pytest.raises(LrpError) as caught:
        call()
    assert type(caught.value) is error
    for fact in facts:
        assert fact in str(caught.value)


# --- inputs ------------------------------------------------------------------------------------

BAD_INPUTS: dict[str, tuple[Any, list[str]]] = {
    "another size": (draw(3, 7), ["'input'", "[3, 7]", "axis 1 is fixed"]),
    "too many axes": (draw(3, 2, 6), ["'input'", "[3, 2, 6] does not fit"]),
    "too few axes": (draw(6), ["'input'", "[6] does not fit"]),
    "another dtype": (X.float(), ["'input'", "torch.float32", "torch.float64"]),
    "integers": (X.long(), ["'input'", "torch.int64", "torch.float64"]),
    "another device": (X.to(META), ["'input'", "meta", "cpu"]),
    "NaN": (X.masked_fill(X > 1, torch.nan), ["'input'", "NaN"]),
    "no tensor": (X.numpy(), ["'input'", "a tensor is expected, got ndarray"]),
    "None": (None, ["'input'", "got NoneType"]),
    "one too many": ((X, X), ["with inputs input;", "has input_1, which it"]),
    "another name": ({"x": X}, ["lacks input", "has x, which it does not take"]),
    "given twice": (((X,), {"input": X}), ["with inputs input;", "an argument twice"]),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_inputs_are_refused_and_the_engine_still_works(engine, name):
    before = engine.explain(X, 1)
    inputs, facts = BAD_INPUTS[name]
    refused(lambda: engine.explain(inputs, 1), InputError, *facts)
    refused(lambda: engine.explain(inputs, 1, ledger=True), InputError, *facts)
    refused(lambda: engine.forward(inputs), InputError, *facts)
    assert torch.equal(engine.explain(X, 1).relevance["input"], before.relevance["input"])


def test_sizes_that_must_agree_are_named():
    def model(x: Tensor, y: Tensor) -> Tensor:
        return x + y

    engine = Engine(model, (X, X + 1))
    refused(lambda: engine.explain((X, draw(2, 6)), 1), InputError, "size 2", "3")


def test_a_number_that_differs_from_the_capture_is_refused():
    engine = Engine(lambda x, n: x * n, (X, 3))
    refused(lambda: engine.explain((X, 4), 1), InputError, "'n'", "was 3", "is 4 now")


def test_an_output_that_is_not_finite_is_refused(engine):
    refused(lambda: engine.explain(X * torch.inf, 1), TargetError, "not finite")


# --- targets -----------------------------------------------------------------------------------

BAD_TARGETS: dict[str, tuple[Any, list[str]]] = {
    "out of range": (4, ["class 4 is out of range", "4 of them"]),
    "below the range": (-5, ["class -5 is out of range"]),
    "one of several": ([0, 7, 1], ["class 7 is out of range"]),
    "one of the weighted": ({0: 1.0, 9: -1.0}, ["class 9 is out of range"]),
    "missing": (None, ["no target was given", "(3, 4)"]),
    "too few": ([1, 2], ["one class per sample", "3 for this batch", "(2,)"]),
    "too many axes": (torch.zeros(3, 1, dtype=torch.long), ["one class per sample", "(3, 1)"]),
    "no number": ("cat", ["'cat'"]),
    "a fraction": (1.5, ["whole number", "1.5"]),
    "a name": ({"cat": 1.0}, ["numbers here", "'cat'"]),
    "another shape": (torch.ones(3, 5), ["(3, 4) is needed", "(3, 5) was given"]),
    "a metric of nothing": (lambda y: torch.tensor(1.0), ["computed from the output"]),
    "a metric without a tensor": (lambda y: 3.0, ["must return a tensor"]),
}


@pytest.mark.parametrize("name", BAD_TARGETS)
def test_bad_targets_are_refused_and_the_engine_still_works(engine, name):
    target, facts = BAD_TARGETS[name]
    refused(lambda: engine.explain(X, target), TargetError, *facts)
    run = engine.forward(X)
    refused(lambda: run.explain(target), TargetError, *facts)
    assert torch.equal(run.explain(1).relevance["input"], engine.explain(X, 1).relevance["input"])


def test_bad_positions_are_refused(engine):
    model, inputs = models.gpt2(attn_implementation="sdpa")
    language = Engine(model, inputs)
    for position, fact in [
        (6, "position 6 is out of range"),
        ([1, 9], "position 9 is out of range"),
        ([1, 2, 3], "one position per sample is needed: 2, not 3"),
        ([0.5, 1.5], "whole number"),
        (None, "say which position"),
    ]:
        refused(lambda p=position: language.explain(inputs, 1, position=p), TargetError, fact)
    refused(lambda: engine.explain(X, 1, position=0), TargetError, "no axis of positions")


# --- sources -----------------------------------------------------------------------------------


BAD_SOURCES: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "a typo": (lambda: net(sources=["inptu"]), ["'inptu'", "did you mean 'input'?"]),
    "only the shape of integers": (
        lambda: Engine(lambda n: torch.zeros(n.shape), torch.ones(2, 3, dtype=torch.long)),
        ["no floating-point input", "no integer or boolean input enters the arithmetic"],
    ),
    "integers by name": (
        lambda: Engine(lambda n, x: n * x, (torch.ones(3, 6).long(), X), sources=["n"]),
        ["'n' holds integers", "neither looked up in a table"],
    ),
    "booleans": (
        lambda: Engine(lambda x: x * (x > 0), X, sources=["gt"]),
        ["'gt' is not floating-point"],
    ),
    "only its shape": (
        lambda: Engine(lambda x: torch.zeros_like(x) + 1, X),
        ["no path", "back to x"],
    ),
    "one of two": (
        lambda: Engine(lambda x, y: y * (x > 0), (X, X), sources=["x", "y"]),
        ["no relevance from 'output' reaches x"],
    ),
    "another branch": (
        lambda: Engine(lambda x: {"a": x.relu(), "b": x.tanh()}, X, output="a", sources=["tanh"]),
        ["no path from output 'a' back to tanh"],
    ),
}


@pytest.mark.parametrize("name", BAD_SOURCES)
def test_bad_sources_are_refused(name):
    call, facts = BAD_SOURCES[name]
    refused(call, SourceError, *facts)


# --- the model ---------------------------------------------------------------------------------


def test_a_model_in_training_mode_is_refused():
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 4), nn.Dropout()))
    model[1].train()
    refused(lambda: Engine(model, X), InputError, "training mode (1)", "model.eval()")


def move(model: nn.Module, to: Any) -> None:
    model.to(to)


def replace_weight(model: nn.Module, _: Any) -> None:
    model.weight = nn.Parameter(model.weight.detach().clone())


@pytest.mark.parametrize(
    "change, to, facts",
    [
        (move, torch.float32, ["'weight' moved", "torch.float64 to cpu, torch.float32"]),
        (move, META, ["'weight' moved", "cpu", "meta"]),
        (replace_weight, None, ["'weight' was replaced"]),
    ],
    ids=["dtype", "device", "another tensor"],
)
def test_a_model_that_is_not_as_captured_is_refused_until_it_is_again(change, to, facts):
    model = seeded(nn.Linear, 6, 4)
    engine, original = Engine(model, X), model.weight
    before = engine.explain(X, 1)
    change(model, to)
    refused(lambda: engine.explain(X, 1), InputError, *facts, "capture again")
    if to is torch.float32:
        model.to(torch.float64)
    model.weight, model.bias = original, engine.captured.tensors["bias"]
    assert engine.explain(X, 1).explained.shape == before.explained.shape


@pytest.mark.parametrize("path", ["0.weight", "1.0.bias", "1"])
def test_what_a_model_holds_elsewhere_or_no_more_is_noticed(path):
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 4), nn.Sequential(nn.Linear(4, 3))))
    engine = Engine(model, X)
    before, (holder, _, name) = engine.explain(X, 1), path.rpartition(".")
    module = model.get_submodule(holder)
    held = getattr(module, name)
    for other, fact in [(copy.deepcopy(held), "was replaced"), (None, "is gone")]:
        setattr(module, name, other)
        refused(lambda: engine.explain(X, 1), InputError, f"{path!r} {fact}", "since capture")
    setattr(module, name, held)
    assert torch.equal(engine.explain(X, 1).explained, before.explained)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_word_that_the_model_does_not_know_is_named(batch):
    model = seeded(lambda: nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7)))
    engine = Engine(model, {"input": torch.tensor([[1, 2, 3], [4, 5, 6]])})
    words = torch.tensor([[1, 9, 3]]).expand(batch, 3)
    said = "input 'input' holds 1 to 9"
    for position in (None, 0):
        target = 1 if position == 0 else torch.ones(batch, 3, 7, dtype=torch.float64)
        explain = lambda: engine.explain({"input": words}, target, position=position)  # noqa: B023, E731
        refused(explain, InputError, "out of range", said)


def test_a_parameter_of_another_shape_is_named():
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)))
    engine = Engine(model, X)
    model[1].weight.data = torch.ones(3, 5, dtype=torch.float64)
    said = "'1.weight' changed from shape (3, 4), strides (4, 1) to (3, 5), (5, 1) since capture"
    refused(lambda: engine.explain(X, 1), InputError, said)


def test_a_ledger_of_changed_inputs_is_refused(engine):
    x = X.clone()
    ex = engine.explain(x, 1)
    x.mul_(2)
    refused(lambda: ex.ledger, InputError, "changed in place", "ledger=True")


def test_a_model_that_its_example_does_not_fit_is_refused():
    model = seeded(nn.Linear, 6, 4)
    refused(
        lambda: Engine(model, draw(3, 5)), CaptureError, "the model itself fails", "3x5 and 6x4"
    )
    refused(lambda: Engine(model), InputError, "example inputs are needed")
