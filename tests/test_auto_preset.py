"""The preset `auto`: what it takes for which structure, and that it says so."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import PresetError
from lrp_engine.method.registry import standard
from lrp_engine.preset.choices import read_choices


class Last(nn.Module):
    """The last state of a recurrent layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0][:, -1]


class ByHand(nn.Module):
    """Attention as a softmax between two products."""

    def forward(self, x: Tensor) -> Tensor:
        return ((x @ x.mT).softmax(-1) @ x).flatten(1)


DENSE = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


class Rows(nn.Module):
    """A recurrent layer behind a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.layer = nn.Conv1d(3, 4, 2), Last(nn.RNN(4, 3, batch_first=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.conv(x).mT)


SERIES = nn.Sequential(nn.Conv1d(3, 2, 2), nn.ReLU(), nn.Flatten())
PICTURES = nn.Sequential(nn.Conv2d(3, 2, 2), nn.ReLU(), nn.Flatten())
SHAPES = {
    "attnlrp": [(DENSE, (1, 4)), (nn.Sequential(DENSE, nn.Softmax(-1)), (1, 4)),
                (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (1, 3, 4)),
                (ByHand(), (1, 3, 4))],
    "lstm_all": [(Last(nn.LSTM(4, 3, batch_first=True)), (1, 3, 4)),
                 (Last(nn.GRU(4, 3, batch_first=True)), (1, 3, 4))],
    "gamma_lstm": [(Rows(), (1, 3, 6))],
    "epsilon_plus_flat": [(PICTURES, (1, 3, 4, 4))],
    "epsilon_alpha2_beta1": [(SERIES, (1, 3, 4))],
}  # fmt: skip
CASES = [(name, *case) for name, cases in SHAPES.items() for case in cases]


@pytest.mark.parametrize("name, model, shape", CASES)
def test_the_structure_decides(name: str, model: nn.Module, shape: tuple[int, ...]) -> None:
    engine = lrp.Engine(model.eval(), torch.rand(shape))
    assert engine.plan.preset.name == name
    assert engine.provenance.notes[0].startswith(f"preset auto took {name}: the model has ")


def test_only_what_leads_to_the_output_counts() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.dense = nn.Conv1d(1, 2, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.dense(x), self.conv(x[:, None])

    engine = lrp.Engine(Two().eval(), torch.rand(1, 4))
    assert engine.plan.preset.name == "attnlrp"


def test_a_choice_travels_and_a_preset_by_name_gives_no_reason() -> None:
    engine = lrp.Engine(DENSE.eval(), torch.rand(1, 4))
    again = pickle.loads(pickle.dumps(engine))
    assert again.provenance.notes == engine.provenance.notes
    assert engine.with_preset("epsilon").provenance.notes == ()
    assert engine.with_preset("auto").plan.preset == engine.plan.preset


def test_the_table_names_what_exists_and_always_decides() -> None:
    registry, rows = standard(), read_choices()
    families = {family for family, _ in registry.rules}
    for row in rows:
        assert row.preset in lrp.presets()
        named = {need.family for need in row.needs} | {need.before for need in row.needs}
        assert named - {None} <= families
    with pytest.raises(PresetError, match="the last choice must have no needs"):
        read_choices('[[choice]]\npreset = "a"\nsays = "a"\nneeds = [{ ops = ["b"] }]')
    with pytest.raises(PresetError, match="unknown key 'op'"):
        read_choices('[[choice]]\npreset = "a"\nsays = "a"\nneeds = [{ op = "b" }]')
