"""Decide by an exponent's values what a power is: x^3 is an activation, x^(-1/2) a scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..capture import Captured
from ..capture.captured import DecidedSign
from ..graphs.aten import aten
from ..graphs.constants import Constant
from ..graphs.nodes import origin
from ..graphs.schema import bind
from ..graphs.signs import SIGN, sign_of


def decide_exponents(captured: Captured) -> Captured:
    """Write down the sign of every exponent that is computed from the model's tensors alone.

    Requires nothing. Ensures that such an exponent's node has its sign, if all entries have the
    same, and that the sign is compared at every call: parameters may be changed in place.
    """
    decided = tuple(_decided(captured))
    return replace(captured, decided=(*captured.decided, *decided)) if decided else captured


def _decided(captured: Captured) -> Iterator[DecidedSign]:
    for node in captured.graph.find_nodes(op="call_function", target=aten.pow.Tensor_Tensor):
        exponent = bind(node.target, node.args, node.kwargs)["exponent"]
        constant = Constant.of(exponent, captured.tensors)
        sign = None if constant is None else sign_of(constant.value())
        if constant is not None and sign is not None and SIGN not in exponent.meta:
            exponent.meta[SIGN] = sign
            yield DecidedSign(f"the exponent in {origin(node)}", sign, constant)
