"""A capture with free sizes is held to its own example, and falls back to fixed sizes aloud."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.capture.torch_module import capture

from .support import seeded


class PictureByPicture(nn.Module):
    """Puts pictures into a text at its marks, one after the other, as LLaVA does."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.look, self.head = nn.Embedding(9, 4), nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, ids: Tensor, pictures: Tensor) -> Tensor:
        seen = torch.cat([self.look(picture.flatten()) for picture in pictures])
        marks = (ids == 8).unsqueeze(-1)
        return self.head(self.words(ids).masked_scatter(marks, seen).sum(1))


def marked_text(samples: int) -> dict[str, Tensor]:
    ids = torch.tensor([[1, 8, 3]]).repeat(samples, 1)
    return {"ids": ids, "pictures": torch.randn(samples, 1, 2, 3, dtype=torch.float64)}


def test_sizes_that_leave_out_the_example_are_fixed_to_it() -> None:
    inputs = marked_text(1)
    engine = lrp.Engine(seeded(PictureByPicture).eval(), inputs)
    (note,) = (n for n in engine.captured.notes if "free sizes" in n)
    assert "fixes sizes other than the example's (input 'pictures': shape [1, 1, 2, 3]" in note
    assert "sizes are fixed to those of the example" in engine.captured.notes
    found = engine.explain(inputs, 1).check()
    assert found.relevance["ids"].any()
    assert found.relevance["pictures"].any()


def test_an_example_of_the_traced_size_keeps_its_capture() -> None:
    inputs = marked_text(5)
    captured = capture(seeded(PictureByPicture).eval(), inputs)
    assert not captured.notes or "free sizes" not in " ".join(captured.notes)
