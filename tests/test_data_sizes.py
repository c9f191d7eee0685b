"""Sizes that data decide: where torch.export takes them for others, another size is refused."""

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine
from lrp_engine.errors import InputError
from tests.support import assert_close, draw


class Selecting(nn.Module):
    """Rows of x where the first sample of y is positive, times y: both have as many rows."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.select(x, y[0, :, 0] > 0) * y).sum(1)

    def select(self, x: Tensor, wanted: Tensor) -> Tensor:
        raise NotImplementedError


class Gathered(Selecting):
    def select(self, x: Tensor, wanted: Tensor) -> Tensor:
        return x.gather(1, wanted.nonzero()[None, :, :1].expand(x.shape[0], -1, x.shape[2]))


class Masked(Selecting):
    def select(self, x: Tensor, wanted: Tensor) -> Tensor:
        return x[:, wanted]


class IndexSelected(Selecting):
    def select(self, x: Tensor, wanted: Tensor) -> Tensor:
        return x.index_select(1, wanted.nonzero()[:, 0])


def inputs(*first: float) -> tuple[Tensor, Tensor]:
    """x and y; the first sample of y begins its rows with these numbers."""
    x, y = draw(2, len(first), 4), draw(2, len(first), 4, seed=1)
    y[0, :, 0] = torch.tensor(first)
    return x, y


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("model", [Gathered(), Masked(), IndexSelected()], ids=repr)
def test_one_row_is_not_taken_for_two(model, dynamic):
    given = inputs(1.0, 2.0)
    engine = Engine(model.eval(), given, dynamic=dynamic)
    found = engine.explain(given, 3).relevance
    for relevance in found.values():  # a product of two: half to each
        assert_close(relevance.sum((1, 2)), (given[0] * given[1])[:, :, 3].sum(1) / 2)
    with pytest.raises(InputError, match="a size that the data decide"):
        engine.explain(inputs(1.0, -2.0), 3)  # eager torch broadcasts one row over both


@pytest.mark.parametrize("dynamic", [True, False])
def test_what_the_export_takes_for_another_size_is_refused(dynamic):
    given = inputs(1.0, -2.0)
    with pytest.raises(InputError, match="a size that the data decide"):
        Engine(Gathered().eval(), given, dynamic=dynamic).explain(given, 3)
