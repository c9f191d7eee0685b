"""Autograd functions of the model's own: declared, they are one op with a rule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import ConservationError, RuleError
from lrp_engine.method.op import AtZero, Linear, Pointwise, Stop

from .support import draw, seeded


class _Swish(torch.autograd.Function):
    """x sigmoid(k x) whose backward is not its derivative: it can be told which one is used."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, k: float) -> Tensor:
        return x * torch.sigmoid(k * x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return 7 * grad, None


@lrp.declare_function(Pointwise, "x", at_zero=AtZero.ZERO)
class Declared(_Swish):
    pass


@lrp.declare_function(Stop, "x", reason="it is a gate")
class Stopped(_Swish):
    pass


@lrp.trace_function
class Traced(_Swish):
    pass


class _WithoutContext(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: object, output: object) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return 2 * grad


@lrp.declare_function(Linear, "x")
class Doubled(_WithoutContext):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x + x


@lrp.declare_function(Linear, "x")
class NotLinear(_WithoutContext):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.round()


class Around(nn.Module):
    """A layer, a function, a layer."""

    def __init__(self, function: type[torch.autograd.Function], *more: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2, bias=False)
        self.function, self.more = function, more

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.function.apply(self.first(x), *self.more))


def engine(function: type[torch.autograd.Function], preset: str, *more: float) -> lrp.Engine:
    return lrp.Engine(seeded(lambda: Around(function, *more)).eval(), draw(2, 3), preset=preset)


def coefficients(found: lrp.Engine) -> Tensor:
    explanation = found.explain(draw(2, 3), 1)
    explanation.check()
    return explanation.coefficient["x"]


def test_a_declared_function_is_one_op_with_the_rule_of_its_family() -> None:
    found = engine(Declared, "epsilon", 2.0)
    assert sum("lrp_functions" in str(n.target) for n in found.captured.graph.nodes) == 1
    assert not any("backward pass" in note for note in found.captured.notes)
    torch.testing.assert_close(coefficients(found), coefficients(engine(Traced, "epsilon", 2.0)))


def test_the_gradient_of_a_declared_function_is_its_own() -> None:
    model, x = seeded(lambda: Around(Declared, 2.0)).eval(), draw(2, 3).requires_grad_()
    (expected,) = torch.autograd.grad(model(x)[:, 1].sum(), x)
    torch.testing.assert_close(coefficients(engine(Declared, "gradient", 2.0)), expected)
    assert not torch.allclose(coefficients(engine(Traced, "gradient", 2.0)), expected)


def test_what_is_declared_linear_is_checked() -> None:
    model = seeded(lambda: Around(Doubled)).eval()
    expected = 2 * (model.second.weight[1] @ model.first.weight).expand(2, 3)
    torch.testing.assert_close(coefficients(engine(Doubled, "gradient")), expected)
    with pytest.raises(ConservationError, match="NotLinear"):
        coefficients(engine(NotLinear, "gradient"))


def test_a_declared_stop_stops() -> None:
    with pytest.raises(lrp.LrpError, match="it is a gate"):
        engine(Stopped, "epsilon", 2.0)


def test_only_what_is_not_declared_is_noted() -> None:
    noted = [
        any(
            "has a backward pass of its own" in note
            for note in engine(f, "epsilon", 2.0).captured.notes
        )
        for f in (_Swish, Traced)
    ]
    assert noted == [True, False]


def test_a_forward_without_annotations_is_refused() -> None:
    class Bare(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            return x

    with pytest.raises(RuleError, match=r"Bare cannot be declared.*Annotate"):
        lrp.declare_function(Pointwise, "x")(Bare)
    with pytest.raises(RuleError, match="operands 'y'"):
        lrp.declare_function(Pointwise, "y")(_Swish)
