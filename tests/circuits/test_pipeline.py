"""CircuitModel prepares and proves a model as Engine does: same refusals, same coefficients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine, load_preset
from lrp_engine.circuits import CircuitModel, Pairs, score
from lrp_engine.errors import InputError, PresetError


class OneSampleIsSpecial(nn.Module):
    """Doubles its result where the batch holds one sample."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.inner(x))
        return self.head(2 * h if x.shape[0] == 1 else h)


class NormedConv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


def _seed(output: Tensor) -> Tensor:
    """Explain class 1."""
    return torch.zeros_like(output).index_fill_(1, torch.tensor([1]), 1.0)


def _normed() -> NormedConv:
    torch.manual_seed(0)
    model = NormedConv().double()
    for parameter in (model.norm.running_mean, model.norm.weight, model.norm.bias):
        nn.init.normal_(parameter)
    nn.init.uniform_(model.norm.running_var, 0.5, 2.0)
    return model.eval()


def _coefficients(model: CircuitModel, preset, inputs: Tensor, path: str) -> Tensor:  # type: ignore[no-untyped-def]
    (site,) = model.choose(path)
    programs = model.coefficients(preset, (site.node,))

    return programs.run(model.leaves(inputs), _seed).coefficients[site.node]


def test_a_model_that_treats_one_sample_in_its_own_way_is_refused() -> None:
    model = OneSampleIsSpecial().eval()
    many, one = torch.randn(3, 4), torch.randn(1, 4)
    engine, circuits = Engine(model, many), CircuitModel(model, many)
    circuits.leaves(many)
    with pytest.raises(InputError, match="size of 1"):
        engine.explain(one, 1)
    with pytest.raises(InputError, match="size of 1"):
        circuits.leaves(one)


@pytest.mark.parametrize("preset", ["epsilon_plus", "epsilon_gamma_box", "attnlrp", "relp"])
def test_coefficients_are_those_of_the_engine_also_where_batch_norms_are_folded(
    preset: str,
) -> None:
    model, x = _normed(), torch.randn(2, 2, 6, 6, dtype=torch.float64)
    chosen = load_preset(preset, low=-3.0, high=3.0) if "box" in preset else load_preset(preset)
    engine = Engine(model, x, preset=chosen, sources=["norm"])
    expected = engine.explain(x, 1).coefficient["norm"]
    found = _coefficients(CircuitModel(model, x), chosen, x, "norm")
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    at_input = CircuitModel(model, x)
    programs = at_input.coefficients(chosen, at_input.embeddings)
    values = programs.run(at_input.leaves(x), _seed).coefficients[at_input.embeddings[0]]
    expected = Engine(model, x, preset=chosen).explain(x, 1).coefficient["input"]
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-14)


def test_a_preset_that_lacks_a_parameter_is_refused() -> None:
    model, x = _normed(), torch.randn(2, 2, 6, 6, dtype=torch.float64)
    circuits = CircuitModel(model, x)
    with pytest.raises(PresetError, match="needs low and high"):
        circuits.coefficients("epsilon_gamma_box", ())


def test_an_onnx_file_gives_what_its_model_gives(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 3)).eval()
    x = torch.randn(2, 4)
    path = tmp_path / "model.onnx"
    torch.onnx.export(model, (x,), path, dynamo=False, dynamic_axes={"input": {0: "batch"}},
                      input_names=["input"], output_names=["logits"])  # fmt: skip
    native, from_file = CircuitModel(model, x), CircuitModel(path)
    a = Engine(model, x, preset="relp").explain(x, 1).coefficient["input"]
    preset, nodes = "relp", from_file.embeddings
    programs = from_file.coefficients(preset, nodes)

    found = programs.run(from_file.leaves(x), _seed).coefficients[nodes[0]]
    own = native.coefficients(preset, native.embeddings).run(native.leaves(x), _seed)
    torch.testing.assert_close(found, a, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(own.coefficients[native.embeddings[0]], a, rtol=1e-5, atol=1e-6)


class Signed(nn.Module):
    """One input of which only the sign counts."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, x: Tensor, trend: Tensor) -> Tensor:
        return self.inner(x) + trend.sign()


def test_an_input_that_is_explained_nowhere_is_in_the_notes() -> None:
    x, y, trend = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 3)
    model = CircuitModel(Signed().eval(), (x, trend))
    found = score(model, Pairs((x, trend), (y, trend), lambda o: o[:, 0]), ["inner"])
    assert any(note.startswith("unreached input: trend at aten.sign") for note in found.notes)
