"""The asserts pass on what is sound, and their messages name the op and the cause."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.checks.asserts import assert_conserved, assert_covered, assert_same_explanation
from lrp_engine.errors import BudgetError
from tests.nets import Mlp, net


def explanation(preset: str = "epsilon", dtype: torch.dtype = torch.float64) -> lrp.Explanation:
    model, inputs = net(Mlp, bias=True, dtype=dtype)
    return lrp.explain(model, inputs, 1, preset=preset)


class Uncovered(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.i1e(x)


def test_covered() -> None:
    engine = assert_covered(*net(Mlp), preset="epsilon")
    assert assert_covered(engine) is engine
    with pytest.raises(AssertionError, match=r"first op: .* in \(root\) \(Uncovered\)"):
        assert_covered(Uncovered().eval(), torch.ones(2, 3))


def test_conserved() -> None:
    found = explanation()
    assert_conserved(found, absorbed={"bias": 100.0, "total": 100.0}, amplification=1e3)
    with pytest.raises(AssertionError, match=r"not conserved: .* under rule"):
        assert_conserved(found, 0.0)
    with pytest.raises(AssertionError, match=r"bias took .*at most 1e-09.*linear"):
        assert_conserved(found, absorbed={"bias": 1e-9})
    with pytest.raises(AssertionError, match="explodes"):
        assert_conserved(found, amplification=1.0)


def test_same_explanation(tmp_path: Path) -> None:
    found, path = explanation(), tmp_path / "golden.safetensors"
    with pytest.raises(BudgetError, match="--lrp-update"):
        assert_same_explanation(found, path)
    found.save(path)
    assert_same_explanation(explanation(), path)
    with pytest.raises(AssertionError, match="preset: epsilon -> gradient"):
        assert_same_explanation(explanation("gradient"), path, relative_error=1e-12)
    assert_same_explanation(explanation("gradient"), path, relative_error=0.5, correlation=0.9)
    assert_same_explanation(explanation(dtype=torch.float32), path)


def test_explanations_of_other_shapes_cannot_be_compared() -> None:
    model, inputs = net(Mlp)
    engine = lrp.Engine(model, inputs)
    with pytest.raises(AssertionError, match="cannot be compared"):
        assert_same_explanation(engine.explain(inputs, 1), engine.explain(inputs[:2], 1))
