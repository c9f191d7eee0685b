"""List the entrywise ops whose secants have a closed form of their own, computed as one op."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.fx.node import Target

from lrp_engine.graphs.aten import aten
from lrp_engine.graphs.schema import Arguments
from lrp_engine.kernels import secants

Secant = Callable[[Tensor, Tensor], Tensor]
# From an op's arguments to its secant; None if there is no closed form for these settings.
Find = Callable[[Arguments], Secant | None]


def of_gelu(arguments: Arguments) -> Secant:
    """Return the secant of either form of GELU."""
    exact = arguments["approximate"] == "none"
    return secants.secant_of_gelu if exact else secants.secant_of_gelu_tanh


def of_power(arguments: Arguments) -> Secant | None:
    """Return the secant of squares and cubes."""
    powers: dict[object, Secant] = {2: secants.secant_of_square, 3: secants.secant_of_cube}
    return powers.get(arguments["exponent"])


CLOSED: Mapping[Target, Find] = {
    aten.exp.default: lambda _: secants.secant_of_exp,
    aten.gelu.default: of_gelu,
    aten.pow.Tensor_Scalar: of_power,
    aten.relu.default: lambda _: secants.secant_of_relu,
    aten.sigmoid.default: lambda _: secants.secant_of_sigmoid,
    aten.silu.default: lambda _: secants.secant_of_silu,
    aten.square.default: lambda _: secants.secant_of_square,
    aten.tanh.default: lambda _: secants.secant_of_tanh,
}


def find_closed_secant(target: Target, arguments: Arguments) -> Secant | None:
    """Return the closed secant of an op with these settings; None if there is none."""
    find = CLOSED.get(target)
    return None if find is None else find(arguments)


def may_overflow(target: Target) -> bool:
    """Return whether a closed secant may be infinite at finite operands, where c = 0 stays 0."""
    return target in (aten.exp.default, aten.pow.Tensor_Scalar, aten.square.default)
