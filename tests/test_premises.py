"""What a capture takes for granted is watched; its first call is proved."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from lrp_engine import Engine
from lrp_engine.capture.premises import Premises
from lrp_engine.capture.snapshots import StandIns
from lrp_engine.errors import CaptureError, InputError
from lrp_engine.run.proof import Proof
from tests.support import draw, seeded

X = draw(4, 6)


class Reading(nn.Module):
    """Reads attributes of every kind; `unread` is not read, `calls` is its own to change."""

    bias = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.activations = nn.Sequential(nn.Tanh())
        self.temperature, self.sizes, self.calls, self.unread = 1.0, [1.0, 2.0], 0, 1
        self.config = SimpleNamespace(scale=2.0)
        self.after = torch.relu

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if getattr(self, "doubled", False):
            x = 2 * x
        x = self.activations(self.layer(x)) * self.sizes[1] + self.bias
        return self.after(x) * self.config.scale / self.temperature


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return seeded(Reading)


@pytest.fixture(scope="module")
def engine(model: nn.Module) -> Engine:
    return Engine(model, X, preset="gradient")


@contextmanager
def attribute(home: Any, name: str, value: object) -> Iterator[None]:
    before = vars(home).get(name, Engine)
    setattr(home, name, value)
    try:
        yield
    finally:
        delattr(home, name) if before is Engine else setattr(home, name, before)


@contextmanager
def entry(container: Any, key: Any, value: object) -> Iterator[None]:
    before = container[key]
    container[key] = value
    try:
        yield
    finally:
        container[key] = before


@contextmanager
def hooked(register: Callable[[Any], Any]) -> Iterator[None]:
    def double(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return 2 * output

    handle = register(double)
    try:
        yield
    finally:
        handle.remove()


def other(x: Tensor) -> Tensor:
    return x


CHANGES: dict[str, Callable[[Any], Any]] = {
    "'temperature' was 1.0 and is 4.0": lambda m: attribute(m, "temperature", 4.0),
    "'temperature' was 1.0 and is 1$": lambda m: attribute(m, "temperature", 1),
    "class Reading: 'bias' was 0.5 and is 1.5": lambda m: attribute(Reading, "bias", 1.5),
    "'bias' is new: 2.5": lambda m: attribute(m, "bias", 2.5),
    "'doubled' is new: True": lambda m: attribute(m, "doubled", True),
    r"'sizes': was \(1.0, 2.0\)": lambda m: entry(m.sizes, 1, 3.0),
    "'config': 'scale' was 2.0 and is 3.0": lambda m: attribute(m.config, "scale", 3.0),
    "'after' was": lambda m: attribute(m, "after", torch.tanh),
    "'forward' is new": lambda m: attribute(m.layer, "forward", other),
    "a Tanh.*a Sigmoid": lambda m: entry(m.activations._modules, "0", nn.Sigmoid().eval()),
    "forward hooks of module 'layer'": lambda m: hooked(m.layer.register_forward_hook),
    "global forward hooks": lambda m: hooked(register_module_forward_hook),
}


@pytest.mark.parametrize("text", CHANGES)
def test_a_premise_that_no_longer_holds_is_named(engine, model, text):
    engine.explain(X, target=0)
    with CHANGES[text](model), pytest.raises(InputError, match=text.removesuffix("$")):
        engine.explain(X, target=0)
    assert torch.equal(engine.explain(X, target=0).output, model(X))


def test_without_the_watch_the_old_answer_is_given(engine, model, monkeypatch):
    monkeypatch.setattr(Premises, "broken", lambda premises: None)
    engine.explain(X, target=0)
    with attribute(model, "temperature", 4.0):
        assert torch.equal(engine.explain(X, target=0).output, 4 * model(X))


def test_without_the_watch_of_hooks_the_old_answer_is_given(engine, model, monkeypatch):
    engine.explain(X, target=0)
    monkeypatch.setattr(Premises, "new_hook", lambda premises: None)
    handle = model.layer.register_forward_hook(lambda module, inputs, output: output * 3)
    found, own = engine.explain(X, target=0).output, model(X)
    handle.remove()
    assert not torch.allclose(found, own)


def test_without_the_watch_of_modes_the_old_answer_is_given(monkeypatch):
    model, x = seeded(nn.Linear, 6, 3, dtype=torch.float32), X.float()
    engine = Engine(model, x)
    engine.explain(x, target=0)
    monkeypatch.setattr(Premises, "broken_mode", lambda premises: None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert engine.explain(x, target=0).output.dtype is torch.float32
        assert model(x).dtype is torch.bfloat16


def test_without_the_watch_of_parameters_the_old_answer_is_given(monkeypatch):
    model = seeded(nn.Linear, 6, 3)
    engine = Engine(model, X)
    before = engine.explain(X, target=0).output
    model.weight = nn.Parameter(2 * model.weight.detach())
    with pytest.raises(InputError, match="'weight' was replaced"):
        engine.explain(X, target=0)
    monkeypatch.setattr("lrp_engine.run.inputs.check_parameters", lambda captured: None)
    assert torch.equal(engine.explain(X, target=0).output, before)
    assert not torch.allclose(model(X), before)


def test_training_mode_is_named_also_where_one_module_trains(engine, model):
    model.activations.train()
    with pytest.raises(InputError, match=r"training mode .activations and 1 more"):
        engine.explain(X, target=0)
    model.eval()


def test_what_is_not_read_and_what_the_model_changes_itself_is_no_premise(engine, model):
    with attribute(model, "unread", 2), attribute(model, "note", "mine"):
        model(X)
        engine.explain(X, target=0)
    assert "changes 'calls' of module '(root)'" in engine.provenance.notes[-1]


def test_hooks_that_only_look_on_are_no_error(engine, model):
    seen: list[Tensor] = []
    handle = model.layer.register_forward_hook(lambda m, i, o: seen.append(o))
    engine.explain(X, target=0)
    handle.remove()
    assert seen


# --- torch's modes -----------------------------------------------------------------------------


def test_everything_works_in_inference_mode():
    model, x = seeded(nn.Linear, 6, 3, dtype=torch.float64), X
    with torch.inference_mode():
        engine = Engine(model, x, preset="gradient")
        inside = engine.explain(x.clone(), target=lambda output: output[:, 0])
    assert torch.equal(inside.relevance["input"], x * model.weight[0])
    assert torch.equal(engine.explain(x, target=0).relevance["input"], x * model.weight[0])
    inside.check()


def test_autocast_is_captured_and_compared():
    model, x = seeded(nn.Linear, 6, 3, dtype=torch.float32), X.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        engine = Engine(model, x)
        found = engine.explain(x, target=0)
        assert torch.equal(found.output, model(x))
    assert found.output.dtype is torch.bfloat16
    assert "autocast was on (cpu: torch.bfloat16)" in found.provenance.notes[-1]
    with pytest.raises(InputError, match=r"autocast was on .* now autocast was off"):
        engine.explain(x, target=0)
    plain = Engine(model, x)
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(InputError, match="autocast was off, and now autocast was on"),
    ):
        plain.explain(x, target=0)


def test_another_default_dtype_is_named(engine):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16)
    try:
        with pytest.raises(InputError, match=r"default dtype was .* and is torch.float16"):
            engine.explain(X, target=0)
    finally:
        torch.set_default_dtype(before)


# --- writes that are not counted ---------------------------------------------------------------


def test_a_ledger_after_a_write_through_data_is_refused():
    model = seeded(nn.Linear, 6, 3)
    found = Engine(model, X).explain(X, target=0)
    model.weight.data.mul_(2)
    with pytest.raises(InputError, match="changed in place since this explanation"):
        _ = found.ledger


def test_targets_after_a_step_of_an_optimiser_are_refused():
    model = seeded(nn.Linear, 6, 3)
    run = Engine(model, X).forward(X)
    with torch.no_grad():
        model.weight.mul_(2)
    with pytest.raises(InputError, match="since this forward pass: run it again"):
        run.explain(0)


# --- the proof at the first call ---------------------------------------------------------------


def test_state_outside_of_modules_is_proved_at_the_first_call():
    state = {"scale": 1.0}
    engine = Engine(lambda x: x * state["scale"], X)
    state["scale"] = 2.0
    with pytest.raises(CaptureError, match=r"differs by up to .* global variable, a closure"):
        engine.explain(X, target=0)


def test_without_the_proof_the_wrong_answer_is_given(monkeypatch):
    monkeypatch.setattr(Proof, "run_model", lambda *_: None)
    state = {"scale": 1.0}
    engine = Engine(lambda x: x * state["scale"], X)
    state["scale"] = 2.0
    assert torch.equal(engine.explain(X, target=0).output, X)


def alias(x: Tensor) -> Tensor:
    """Writes through dropout that returns its operand, and through a view."""
    h = 2 * x
    same, row = nn.functional.dropout(h, 0.5, training=False), h[:1]
    same.add_(1)
    row.mul_(3)
    return h + row


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_write_through_an_alias_reaches_all_its_names(count):
    engine = Engine(alias, X)
    assert torch.equal(engine.explain(X[:count], target=0).output, alias(X[:count]))


def test_the_proof_leaves_buffers_and_inputs_as_they_were():
    model = seeded(nn.Linear, 6, 3)
    model.register_buffer("count", torch.zeros(()))

    def forward(x: Tensor) -> Tensor:
        model.count += 1
        return nn.functional.linear(x, model.weight).relu_()

    model.forward = forward
    engine, x = Engine(model, X), X.clone()
    engine.explain(x, target=0)
    assert model.count == 0
    assert torch.equal(x, X)


# --- signatures --------------------------------------------------------------------------------


class Sum(nn.Module):
    def forward(self, *xs: Tensor, **more: Tensor) -> Tensor:
        return sum([*xs, *more.values()], start=torch.zeros(()))


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (Sum(), lambda x: (x, x + 1)),
        (Sum(), lambda x: ((x,), {"y": x + 1})),
        (nn.DataParallel(nn.Tanh()), lambda x: x),
        (torch.compile(nn.Tanh(), backend="eager"), lambda x: x),
    ],
    ids=["*xs", "**more", "DataParallel", "compiled"],
)
def test_sizes_stay_free_whatever_the_signature(model, inputs):
    engine = Engine(model.eval(), inputs(X), preset="gradient")
    assert engine.captured.shapes.free()
    assert engine.explain(inputs(X[:3]), target=0).explained.shape == (3,)


class Containers(nn.Module):
    """Keeps parameters in containers as well, as recurrent layers of torch do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.shared = {"pair": [self.layer.weight, self.layer.bias]}
        self.scales = [torch.ones(3), torch.full((3,), 2.0)]

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.shared["pair"]
        return nn.functional.linear(x, weight, bias) * self.scales[1]


RECURRENT = [nn.LSTM, nn.GRU, nn.RNN]


@pytest.mark.parametrize("kind", RECURRENT)
def test_weights_in_a_list_are_the_models_parameters(kind):
    model = seeded(lambda: kind(6, 3, batch_first=True))
    x = draw(4, 5, 6)
    engine = Engine(model, x, preset="gradient", output="0")
    torch.testing.assert_close(engine.explain(x, target=0, position=-1).output[0], model(x)[0])
    assert not engine.captured.notes
    weights = [w for place in engine.captured.premises.contents for w in place.contents]
    assert any(w is model.weight_hh_l0 for w in weights)
    model._flat_weights = list(model._flat_weights)  # what torch does when it flattens them again
    engine.explain(x, target=0, position=-1)
    another = entry(model._flat_weights, 1, nn.Parameter(torch.ones(3, 3)))
    with another, pytest.raises(InputError, match="'_flat_weights'"):
        engine.explain(x, target=0, position=-1)


def test_tensors_in_containers_are_watched_by_what_they_are():
    model = seeded(Containers)
    engine = Engine(model, X, preset="gradient")
    assert torch.equal(engine.explain(X, target=0).output, model(X))
    assert not engine.captured.notes
    another = entry(model.scales, 1, torch.full((3,), 2.0))
    with another, pytest.raises(InputError, match="'scales'"):
        engine.explain(X, target=0)
    engine.explain(X, target=0)


def test_without_the_stand_ins_weights_in_a_list_seem_to_be_written(monkeypatch):
    monkeypatch.setattr(StandIns, "look", lambda self: None)
    engine = Engine(seeded(lambda: nn.LSTM(6, 3, batch_first=True)), draw(4, 5, 6))
    assert "changes '_flat_weight_refs'" in " ".join(engine.captured.notes)
