"""Test which value is explained: an output, a value inside of the model, the scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import TargetError

X = torch.tensor([[0.3, -1.2, 0.7], [1.1, 0.4, -0.5]], dtype=torch.float64)


class Detector(nn.Module):
    """Return boxes and class probabilities, as detectors do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        self.boxes, self.classes = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.boxes(h), self.classes(h).softmax(-1).unsqueeze(1)


@pytest.fixture
def model() -> nn.Module:
    return Detector().double().eval()


def test_a_module_inside_can_be_explained(model: nn.Module) -> None:
    engine = lrp.Engine(model, X, output="body.0", preset="gradient")
    found = engine.explain(X, target=2)
    layer = model.body[0]
    expected = X * layer.weight[2]
    assert torch.allclose(found.relevance["x"], expected)
    assert torch.allclose(found.explained, layer(X)[:, 2])
    found.check()


def test_the_models_own_output_keeps_its_structure(model: nn.Module) -> None:
    found = lrp.explain(model, X, target=1, output="body")
    boxes, classes = found.output
    assert torch.equal(boxes, model(X)[0])
    assert torch.equal(classes, model(X)[1])


def test_scores_are_what_the_last_softmax_reads() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(3, 4).double()
    net = nn.Sequential(linear, nn.Softmax(-1), nn.Unflatten(1, (2, 2)), nn.Flatten()).eval()
    found = lrp.explain(net, X, target=3, output="scores")
    alone = lrp.explain(linear.eval(), X, target=3)
    assert torch.equal(found.relevance["input"], alone.relevance["input"])


def test_a_node_can_be_explained(model: nn.Module) -> None:
    found = lrp.explain(model, X, target=0, output="relu")
    assert torch.allclose(found.explained, model.body(X)[:, 0])


def test_notes_say_which_output_was_taken_and_that_it_is_a_probability(model: nn.Module) -> None:
    notes = " ".join(lrp.explain(model, X, target=0).provenance.notes)
    assert "explained is the output '0'; output= takes another: 1" in notes
    assert "softmax" not in notes
    notes = " ".join(lrp.explain(model, X, target=0, position=0, output="1").provenance.notes)
    assert "output='scores'" in notes
    assert "takes another" not in notes


def test_what_is_not_there_is_refused_with_what_is(model: nn.Module) -> None:
    with pytest.raises(TargetError, match=r"did you mean 'body\.0'"):
        lrp.Engine(model, X, output="body.00")
    with pytest.raises(TargetError, match="does not end in a softmax"):
        lrp.Engine(model, X, output="scores")


def test_fixed_sizes_agree(model: nn.Module) -> None:
    fixed = lrp.Engine(model, X, output="body.0", dynamic=False).explain(X, target=0)
    free = lrp.Engine(model, X, output="body.0").explain(X, target=0)
    assert torch.equal(fixed.relevance["x"], free.relevance["x"])


@pytest.mark.parametrize("preset", ["gradient", "attnlrp"])
def test_a_metric_takes_all_outputs(model: nn.Module, preset: str) -> None:
    def metric(outputs: dict[str, Tensor]) -> Tensor:
        return outputs["0"][:, 1] + 2 * outputs["1"][:, 0, 2]

    found = lrp.explain(model, X, target=metric, output="all", preset=preset)
    boxes, classes = (
        lrp.explain(model, X, target=t, output=name, preset=preset, position=position)
        for t, name, position in ((1, "0", None), (2, "1", 0))
    )
    expected = boxes.relevance["x"] + 2 * classes.relevance["x"]
    assert torch.allclose(found.relevance["x"], expected, atol=1e-12)
    found.check()


def test_all_outputs_need_a_metric(model: nn.Module) -> None:
    with pytest.raises(TargetError, match="takes a dict of outputs"):
        lrp.explain(model, X, target=0, output="all")
