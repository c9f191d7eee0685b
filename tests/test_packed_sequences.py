"""Recurrent layers over packed sequences: each sample has the relevance that it has alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lrp_engine import Engine
from lrp_engine.errors import CaptureError, InputError
from tests.support import assert_close, draw, seeded

LENGTHS = torch.tensor([3, 5, 2])
X = draw(3, 5, 4)


class Reader(nn.Module):
    """Read sequences, packed if there are lengths; score outputs and last states."""

    def __init__(self, kind: type[nn.RNNBase], **options: object) -> None:
        super().__init__()
        self.layer = kind(4, 3, batch_first=True, **options)
        self.head = nn.Linear(3 * (1 + bool(options.get("bidirectional"))), 2)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is None:
            out, last = self.layer(x)
        else:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            out, last = self.layer(packed)
            out, _ = pad_packed_sequence(out, batch_first=True)
        ends = last[-1] if isinstance(last, tuple) else last
        return self.head(out.sum(1)) + ends.sum((0, 2))[:, None]


CASES = {
    "lstm": (nn.LSTM, {}),
    "both ways": (nn.LSTM, {"bidirectional": True, "num_layers": 2}),
    "gru": (nn.GRU, {}),
    "rnn": (nn.RNN, {"nonlinearity": "relu"}),
}


SLOW = ("both ways", "gru", "rnn")


@pytest.mark.parametrize("name", ["lstm", *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])
def test_each_sample_has_the_relevance_that_it_has_alone(name: str) -> None:
    kind, options = CASES[name]
    model = seeded(lambda: Reader(kind, **options))
    engine = Engine(model, {"x": X, "lengths": LENGTHS}, preset="epsilon")
    given = {"x": X.flip(0)[:2], "lengths": torch.tensor([4, 5])}
    found = engine.explain(given, 1, ledger=name in SLOW)
    if name in SLOW:
        found.check()
    with torch.no_grad():
        assert_close(found.output, model(**given), 1e-13)
    alone = Engine(model, {"x": X[:1, :4]}, preset="epsilon")
    for i, count in enumerate([4, 5]):
        one = alone.explain({"x": given["x"][i : i + 1, :count]}, 1).relevance["x"][0]
        assert_close(found.relevance["x"][i, :count], one, 1e-10)
        assert not found.relevance["x"][i, count:].any()


def test_padding_that_the_model_would_cut_is_an_error() -> None:
    model = seeded(lambda: Reader(nn.GRU))
    engine = Engine(model, {"x": X, "lengths": LENGTHS}, preset="epsilon")
    with pytest.raises(InputError, match="longest sequence has 3 steps"):
        engine.explain({"x": X, "lengths": torch.tensor([3, 3, 2])}, 1)


def test_what_else_is_done_with_packed_values_is_refused() -> None:
    def model(x: Tensor, lengths: Tensor) -> Tensor:
        return pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False).data.tanh()

    with pytest.raises(CaptureError, match="packed sequences"):
        Engine(model, {"x": X, "lengths": LENGTHS})
