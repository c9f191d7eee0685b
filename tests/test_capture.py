"""However a model is called, it is captured whole, with the place of every op."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from lrp_engine import Engine, explain
from lrp_engine.errors import CaptureError, SourceError, TargetError
from lrp_engine.graphs.nodes import origin
from tests.support import assert_close, draw, seeded

X, Y = draw(3, 6), draw(3, 6, seed=1)


class Two(nn.Module):
    """Two arguments, each with a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 4, False), nn.Linear(6, 4, False)

    def forward(self, left: Tensor, right: Tensor | None = None, *, gain: float = 1.0) -> Tensor:
        out = self.a(left)
        return gain * (out if right is None else out + self.b(right))


# --- inputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [(X, Y), {"left": X, "right": Y}, {"right": Y, "left": X}, ((X,), {"right": Y})],
    ids=["positional", "keywords", "keywords in another order", "both"],
)
@pytest.mark.parametrize("example", [(X, Y), {"left": X, "right": Y}], ids=["by place", "by name"])
def test_arguments_by_place_and_by_name_are_the_same(example, given):
    model = seeded(Two)
    ex = Engine(model, example).explain(given, target=1)
    assert_close(ex.relevance["left"], X * model.a.weight[1], 1e-14)
    assert_close(ex.relevance["right"], Y * model.b.weight[1], 1e-14)


def test_arguments_that_are_none_or_numbers_belong_to_the_capture():
    model = seeded(Two)
    ex = explain(model, ((X, None), {"gain": 2.0}), target=1)
    assert list(ex.relevance) == ["left"]
    assert_close(ex.relevance["left"], 2 * X * model.a.weight[1], 1e-14)


def nested(pair: tuple[Tensor, Tensor], extra: dict[str, Any]) -> Tensor:
    return pair[0] + 2 * pair[1] + extra["deep"]["z"] * extra["scale"]


def test_nested_inputs_are_named_by_their_path():
    scale = torch.tensor(1.5, dtype=torch.float64)
    inputs = {"pair": (X, Y), "extra": {"deep": {"z": X.exp()}, "scale": scale}}
    ex = explain(nested, inputs, target=0)
    assert list(ex.relevance) == ["pair.0", "pair.1", "extra.deep.z", "extra.scale"]
    assert_close(ex.relevance["pair.1"][:, 0], 2 * Y[:, 0], 1e-14)
    assert_close(ex.relevance["extra.deep.z"][:, 0], X.exp()[:, 0] * 1.5 / 2, 1e-14)
    assert_close(ex.relevance["extra.scale"], X.exp()[:, 0].sum() * 1.5 / 2, 1e-14)


def test_one_tensor_given_for_two_inputs_stays_two_inputs():
    engine = Engine(seeded(Two), (X, X))
    ex = engine.explain((X, Y), target=1)
    assert torch.equal(ex.output, engine.explain((X, Y), target=1).output)
    model = seeded(Two)
    assert torch.equal(ex.output, model(X, Y))
    assert_close(ex.relevance["right"], Y * model.b.weight[1], 1e-14)


def test_integer_inputs_are_explained_at_their_embedding_and_may_index_or_mask():
    table = draw(11, 6)

    def model(ids: Tensor, mask: Tensor, index: Tensor, x: Tensor) -> Tensor:
        words = torch.nn.functional.embedding(ids, table) * mask.unsqueeze(-1)
        return words.sum(1) + x.gather(1, index)

    ids, mask = torch.tensor([[1, 5, 2], [4, 4, 0]]), torch.tensor([[1, 1, 0], [1, 1, 1]])
    index = torch.zeros(2, 6, dtype=torch.long)
    ex = explain(model, (ids, mask, index, X[:2]), target=2)
    assert list(ex.relevance) == ["ids", "x"]
    expected = torch.zeros(2, 3, 6, dtype=torch.float64)
    expected[..., 2] = table[ids][..., 2] * mask
    assert_close(ex.relevance["ids"], expected, 1e-14)


def test_buffers_parameters_and_constants_are_no_sources():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", draw(6))
            self.shift, self.constant = nn.Parameter(draw(6)), draw(6, seed=3)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale * self.constant + self.shift

    model = seeded(Scaled)
    ex = explain(model, X, target=1)
    assert list(ex.relevance) == ["x"]
    assert ex.ledger.absorbed["constant"] == pytest.approx(3 * model.shift[1].item())


# --- outputs -----------------------------------------------------------------------------------


@dataclass
class Answer(ModelOutput):
    """What transformers' models return."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden: tuple[Tensor, ...] | None = None


def answering(x: Tensor) -> Answer:
    return Answer(logits=2 * x, hidden=(3 * x, x.argmax(-1)))


@pytest.mark.parametrize(
    "output, factor", [(None, 2), ("logits", 2), ("hidden.0", 3)], ids=["default", "first", "inner"]
)
def test_any_tensor_of_a_model_output_can_be_explained(output, factor):
    ex = explain(answering, X, target=1, output=output)
    assert isinstance(ex.output, Answer)
    assert torch.equal(ex.output.logits, 2 * X)
    assert torch.equal(ex.output.hidden[1], X.argmax(-1))
    assert_close(ex.explained, factor * X[:, 1], 1e-14)


def test_outputs_of_a_tuple_and_a_dict_are_named_by_place_and_key():
    def model(x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        return {"a": x, "b": 2 * x}, 3 * x

    for name, factor in [("0.b", 2), ("1", 3)]:
        assert_close(explain(model, X, 1, output=name).explained, factor * X[:, 1], 1e-14)


@pytest.mark.parametrize("name", ["nothing", "hidden.1"])
def test_an_output_that_is_not_there_is_refused_with_those_that_are(name):
    with pytest.raises(TargetError, match=rf"no floating-point output '{name}'.*logits, hidden.0"):
        Engine(answering, X, output=name)


# --- kinds of models ---------------------------------------------------------------------------


def test_an_exported_program_is_a_model():
    model = seeded(Two)
    program = torch.export.export(model, (X, Y))
    for engine in (Engine(program), Engine(program, (X, Y))):
        ex = engine.explain((X, Y), target=1)
        assert torch.equal(ex.output, model(X, Y))
        assert_close(ex.relevance["right"], Y * model.b.weight[1], 1e-14)


def test_sizes_that_depend_on_the_data_are_no_obstacle():
    def model(x: Tensor) -> Tensor:
        return torch.tanh(x[x[:, 0] > 0]).sum(0, keepdim=True)

    engine = Engine(model, X)
    for x in (X, draw(5, 6, seed=4)):
        ex = engine.explain(x, target=1)
        assert torch.equal(ex.output, model(x))
        expected = torch.zeros_like(x)
        expected[:, 1] = torch.tanh(x[:, 1]) * (x[:, 0] > 0)
        assert_close(ex.relevance["x"], expected, 1e-14)


@pytest.mark.parametrize("parametrisation", ["weight_norm", "spectral_norm"])
def test_parametrised_weights_are_constants(parametrisation):
    norm = getattr(nn.utils.parametrizations, parametrisation)
    model = norm(seeded(nn.Linear, 6, 4)).eval()
    ex = explain(model, X, target=1)
    assert torch.equal(ex.output, model(X))
    assert_close(ex.relevance["input"], X * model.weight[1].detach(), 1e-14)


def test_a_model_that_hides_its_ops_is_refused():
    with pytest.raises(CaptureError, match="TorchScript"):
        Engine(torch.jit.trace(seeded(nn.Linear, 6, 4), X), X)


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList([seeded(Two), seeded(Two, seed=1)])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.body[0](x), self.body[1](x)], -1).tanh()  # the line of the tanh


def test_every_op_knows_its_module_and_its_line():
    plan = Engine(Nested().eval(), X).plan
    places = {a.node.name: origin(a.node) for a in plan.assignments}
    assert str(places["linear"].module) == "body.0.a"
    assert places["linear_1"].module_type == "Linear"
    file, line = places["tanh"].source.rsplit(":", 1)
    assert file == __file__
    with open(file) as lines:
        assert "the line of the tanh" in list(lines)[int(line) - 1]


def test_a_model_without_inputs_to_explain_says_so():
    with pytest.raises(SourceError, match="no input can carry relevance"):
        Engine(lambda n: torch.zeros(n.shape), torch.ones(2, 3).long())


@pytest.mark.parametrize("preset", ["attnlrp", "epsilon_plus"])
def test_a_convolution_takes_batches_for_which_torch_has_another_kernel(preset):
    """In float32 on a CPU torch takes oneDNN's kernels from 16 samples on."""
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 2, 3), nn.Flatten()]
    model = seeded(lambda: nn.Sequential(*layers, nn.Linear(128, 3)), dtype=torch.float32)
    x = draw(20, 3, 8, 8, dtype=torch.float32)
    for example in (x[:2], x):
        engine = Engine(model, example, preset=preset)
        together, alone = engine.explain(x, 1), engine.explain(x[17:18], 1)
        assert_close(together.relevance["input"][17:18], alone.relevance["input"], 1e-5)
