"""What prepares the inputs of a first layer changes nothing of what its rule gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import PresetError

MEAN = torch.tensor([0.4, 0.5, 0.6], dtype=torch.float64).view(3, 1, 1)
PREPARATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "divided": lambda x: x / 255,
    "negated": lambda x: -x,
    "per channel": lambda x: x * MEAN,
    "normalised": lambda x: (x - MEAN) / 0.2,
    "subtracted from": lambda x: 1.0 - x,
    "rounded": lambda x: (x * 4).round() / 4,
}
BOX = lrp.load_preset("epsilon_gamma_box", low=-3.0, high=3.0)


class Prepared(nn.Module):
    """A small net with or without a preparation of its own."""

    def __init__(self, prepare: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.prepare = prepare
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Linear(4 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.conv(self.prepare(x)).relu().flatten(1))


def explain(prepare: Callable[[Tensor], Tensor], x: Tensor, preset: lrp.Preset | str) -> Tensor:
    model = Prepared(prepare).double().eval()
    found = lrp.Engine(model, x, preset=preset, dynamic=False).explain(x, 1, ledger=True)
    found.check()
    assert "zero activation" not in found.ledger.absorbed
    return found.relevance["x"]


@pytest.mark.parametrize("name", PREPARATIONS)
@pytest.mark.parametrize("preset", ["epsilon_plus_flat", BOX], ids=["flat", "box"])
def test_relevance_of_prepared_inputs_arrives_whole(name: str, preset: lrp.Preset | str) -> None:
    """Also where a prepared value is exactly zero, and where an input is."""
    prepare = PREPARATIONS[name]
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    x[:, :, :1], x[:, :, 1:2] = 0.0, MEAN
    prepared = explain(lambda x: x, prepare(x), preset)
    torch.testing.assert_close(explain(prepare, x, preset), prepared, rtol=0, atol=1e-12)
    assert prepared.abs().sum() > 0.01


def test_two_inputs_of_a_sum_share_evenly() -> None:
    class Two(Prepared):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return super().forward(x + y)

    x, y = (torch.rand(1, 3, 4, 4) for _ in "xy")
    model = Two(lambda x: x).eval()
    found = lrp.Engine(model, (x, y), preset="epsilon_plus_flat").explain((x, y), 1).relevance
    torch.testing.assert_close(found["x"], found["y"])


def test_a_row_ahead_of_no_family_is_refused(tmp_path: Path) -> None:
    rows = 'extends = "epsilon"\n[[rule]]\nfamily = "linear"\nuse = "flat"\nahead_of = "sums"\n'
    (tmp_path / "own.toml").write_text(rows)
    with pytest.raises(PresetError, match=r"no family 'sums' to be ahead of"):
        lrp.load_preset(tmp_path / "own.toml")
