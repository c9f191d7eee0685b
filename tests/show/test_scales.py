"""Which pictures share the end of their colours."""

from __future__ import annotations

import pytest
import torch

import lrp_engine as lrp
from lrp_engine.errors import InputError
from lrp_engine.results.plotting import Given, picture_of
from lrp_engine.show.figure.draw import _panels
from lrp_engine.show.figure.look import read_look

pytest.importorskip("matplotlib")


class Two(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a.flatten(1).sum(1, keepdim=True) + 3 * b.flatten(1).sum(1, keepdim=True)


def explained() -> lrp.Explanation:
    a = torch.arange(1.0, 19).reshape(2, 1, 3, 3)
    found = lrp.explain(Two().eval(), (a, a), 0, preset="epsilon")
    for name in ("a", "b"):
        found = found.with_labels(name, axes="batch channel height width")
    return found


@pytest.mark.parametrize(
    "scale, ends",
    [
        ("own", [9.0, 27.0, 18.0, 54.0]),
        ("row", [27.0, 27.0, 54.0, 54.0]),
        ("all", [54.0, 54.0, 54.0, 54.0]),
        (10, [10.0, 10.0, 10.0, 10.0]),
    ],
)
def test_colours_end_together_where_they_share_a_scale(scale: object, ends: list[float]) -> None:
    look = read_look({"scale": scale}, waterfall=False)
    picture = picture_of(explained(), None, slice(0, 2), Given(), look, ledger=False)
    assert [panel.limit.end for panel in _panels(picture)] == pytest.approx(ends)


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(InputError, match="choose from: all, own, row"):
        explained().plot(scale="shared")


def test_a_scale_that_cuts_entries_off_says_how_far_they_go() -> None:
    look = read_look({"scale": 10}, waterfall=False)
    picture = picture_of(explained(), None, slice(0, 2), Given(), look, ledger=False)
    first, second, *_ = (panel.limit for panel in _panels(picture))
    assert not first.is_cut
    assert second.text() == "colours end at ±10.0 (as asked; largest 27.0)"
