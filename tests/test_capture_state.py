"""What capture leaves alone: the model's state; and what it cannot promise: other paths."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine
from lrp_engine.errors import CaptureError, InputError
from lrp_engine.run.program_pairs import ProgramPair
from tests import nets
from tests.support import assert_conserves, draw, seeded

X = draw(3, 6)


# --- the model stays as it was -----------------------------------------------------------------


def state_of(model: nn.Module) -> list[Any]:
    """Everything that could tell that the engine was there."""
    found: list[Any] = []
    for name, module in model.named_modules():
        attributes = vars(module)
        hooks = [key for key, value in attributes.items() if key.endswith("_hooks") and value]
        plain = {k: v for k, v in attributes.items() if not k.startswith("_")}
        found += [name, list(attributes), plain, module.training, hooks, module.forward.__func__]
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        found += [name, id(tensor), tensor._version, tensor.requires_grad, id(tensor.grad)]
    return found


class Writing(nn.Module):
    """Writes to itself whenever it runs, as models that keep their attention maps do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls = nn.Linear(6, 4), 0
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls, self.last = self.calls + 1, self.inner(x)
        self.inner.seen = x
        self.count += 1
        return self.last


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 4, False), nn.Linear(6, 4, False)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x) if x.sum() > 0 else self.down(x)


class Hooking(nn.Module):
    """Installs hooks on its own modules at the first call, as transformers' models do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head, self.seen = nn.Linear(6, 5), nn.Linear(5, 4), []

    def forward(self, x: Tensor) -> Tensor:
        if not getattr(self, "hooked", False):
            self.inner.register_forward_hook(lambda m, given, out: self.seen.append(out))
            self.hooked = True
        self.seen.clear()
        self.inner(x)
        return self.head(sum(self.seen))


def test_a_model_that_hooks_itself_gives_the_same_before_and_after_capture():
    model, untouched = seeded(Hooking), seeded(Hooking)
    engine = Engine(model, X)
    assert torch.equal(model(X), untouched(X))
    assert torch.equal(engine.explain(X[:1], target=1).output, untouched(X[:1]))


@pytest.mark.parametrize("kind", [nets.Conv, nets.Norms, nets.Tied, Writing, Branching])
def test_the_model_is_left_exactly_as_it_was(kind):
    if kind in nets.INPUTS:
        model, inputs = nets.net(kind, bias=True)
    else:
        model, inputs = seeded(kind), X
    first = next(model.parameters())
    first.grad = torch.ones_like(first)
    list(model.parameters())[-1].requires_grad_(False)
    values = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = state_of(model)
    ex = Engine(model, inputs).explain(inputs, target=1)
    ex.check()
    assert state_of(model) == before
    assert model.state_dict().keys() == values.keys()
    assert all(torch.equal(tensor, values[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(first.grad, torch.ones_like(first))
    assert torch.equal(ex.output, model(inputs))
    assert not ex.relevance["input"].requires_grad


def test_inputs_are_left_as_they_were():
    def model(x: Tensor) -> Tensor:
        return x.mul_(2).relu_()

    x = X.clone()
    engine = Engine(model, x)
    engine.explain(x, target=1).check()
    assert torch.equal(x, X)
    assert "writes to x" in engine.provenance.notes[-1]


# --- paths that depend on the data -------------------------------------------------------------


@pytest.mark.parametrize("dynamic", [True, False])
def test_a_path_that_depends_on_data_is_recorded_and_checked(dynamic):
    model = seeded(Branching)
    engine = Engine(model, X.abs(), dynamic=dynamic)
    ex = engine.explain(X.abs() * 3, target=1)
    assert ex.provenance.captured == "recorded"
    assert any("one call's control flow" in note for note in ex.provenance.notes)
    assert torch.equal(ex.output, model(X.abs() * 3))
    assert_conserves(ex, 1e-12)
    with pytest.raises(InputError, match="control flow depends on its data"):
        engine.explain(-X.abs(), target=1)
    assert torch.equal(engine.explain(X.abs(), target=1).output, model(X.abs()))


def test_a_plain_export_says_so():
    assert Engine(seeded(nn.Linear, 6, 4), X).provenance.captured == "exported"


def counted(x: Tensor) -> Tensor:
    for _ in range((x[0] > 0).sum().item()):
        x = 2 * x
    return x


def test_another_number_of_steps_is_another_path():
    engine = Engine(counted, X.abs())
    assert torch.equal(engine.explain(X.abs() + 1, target=1).output, counted(X.abs() + 1))
    with pytest.raises(InputError, match="does not hold for these"):
        engine.explain(X, target=1)


def test_a_path_chosen_by_a_float_cut_to_an_integer_is_checked_too():
    def model(x: Tensor) -> Tensor:
        for _ in range(int(x[0, 0].abs().item() * 10)):
            x = 2 * x
        return x

    x = torch.full((3, 4), 0.25)
    engine = Engine(model, x)
    assert torch.equal(engine.explain(x + 0.01, target=1).output, model(x + 0.01))
    with pytest.raises(InputError, match="does not hold for these"):
        engine.explain(x + 0.3, target=1)


def test_a_path_that_depends_on_a_size_is_part_of_the_contract():
    def model(x: Tensor) -> Tensor:
        return 2 * x if x.shape[0] > 4 else 3 * x

    engine = Engine(model, X)
    for x in (X, X[:2], X[:1]):
        assert torch.equal(engine.explain(x, target=1).output, 3 * x)
    with pytest.raises(InputError, match="the capture holds only where"):
        engine.explain(torch.cat([X, X]), target=1)


def test_a_model_that_cannot_be_captured_says_why():
    with pytest.raises(CaptureError, match=r"leaves torch, by \.numpy\(\).*test_capture_state"):
        Engine(lambda x: x * torch.from_numpy(x.numpy()), X)


class Special(nn.Module):
    """Treats a batch of one differently."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.shape[0] == 1 else 2 * self.layer(x)


def test_a_model_with_a_path_of_its_own_for_one_sample_is_refused_there():
    model = seeded(Special)
    engine = Engine(model, X)
    assert torch.equal(engine.explain(X, target=1).output, model(X))
    for _ in range(2):
        with pytest.raises(InputError, match="size of 1 differently"):
            engine.explain(X[:1], target=1)
    fixed = Engine(model, X[:1], dynamic=False)
    assert torch.equal(fixed.explain(X[:1], target=1).output, model(X[:1]))


def test_one_sample_is_proved_once_and_then_believed():
    model = seeded(nn.Linear, 6, 4)
    engine, calls = Engine(model, X), []
    rerun = engine.captured.rerun
    counting = lambda *args, **kwargs: (calls.append(1), rerun(*args, **kwargs))[1]  # noqa: E731
    object.__setattr__(engine.captured, "rerun", counting)
    for _ in range(3):
        engine.explain(X[:1], target=1)
        engine.with_policy("low_memory").explain(X[:1], target=1)
        engine.with_preset("epsilon").explain(X[:1], target=1)
    assert len(calls) == 1


def test_that_memory_ran_out_is_not_blamed_on_the_inputs():
    engine = Engine(seeded(nn.Linear, 6, 4), X)

    def too_large(*args, **kwargs):
        raise torch.OutOfMemoryError("tried to allocate much")

    object.__setattr__(engine.captured, "rerun", too_large)
    with pytest.raises(torch.OutOfMemoryError, match="tried to allocate"):
        engine.explain(X[:1], target=1)


@pytest.mark.parametrize("position", [None, 0])
def test_the_model_itself_runs_before_anything_is_kept(position, monkeypatch):
    model = nn.Embedding(7, 5)
    engine, order = Engine(model.eval(), torch.arange(6).reshape(2, 3)), []
    rerun = engine.captured.rerun
    noting = lambda *args, **kwargs: (order.append("model"), rerun(*args, **kwargs))[1]  # noqa: E731
    object.__setattr__(engine.captured, "rerun", noting)
    run = ProgramPair.of.__func__

    def watched(cls, *args, **kwargs):
        way = run(cls, *args, **kwargs)
        forward = lambda *values: (order.append("program"), way.forward(*values))[1]  # noqa: E731
        return replace(way, forward=forward)

    monkeypatch.setattr(ProgramPair, "of", classmethod(watched))
    target = 1 if position is not None else lambda output: output.sum()
    engine.explain(torch.arange(3).reshape(1, 3), target, position=position)
    assert order == ["model", "program"]
