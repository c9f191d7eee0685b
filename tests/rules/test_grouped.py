"""The grouped matrix product in bfloat16, the only precision in which torch can trace it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import lrp_engine as lrp
from tests.support import draw

ENDS = (2, 2, 6)
X = draw(6, 8).bfloat16()
W = draw(3, 8, 8, seed=1).bfloat16()


def model(x: Tensor) -> Tensor:
    return torch._grouped_mm(x, W, torch.tensor(ENDS, dtype=torch.int32))


@pytest.mark.parametrize("preset", ["attnlrp", "epsilon"])
def test_each_row_gets_what_its_own_groups_weight_passes_back(preset: str) -> None:
    engine = lrp.Engine(model, X, preset=preset, dynamic=False)
    found = engine.explain(X, 3, ledger=True).check().relevance["x"].double()
    groups = [sum(row >= end for end in ENDS) for row in range(len(X))]
    pairs = zip(X.double(), groups, strict=True)
    expected = torch.stack([x * W[g, :, 3].double() for x, g in pairs])
    assert groups == [0, 0, 2, 2, 2, 2]
    assert (found - expected).abs().max() <= 1e-2 * expected.abs().max()
