"""Join a matrix product and the bias added to it into one affine map, as in torch's `linear`.

Exporters write them as two nodes. Rules that stabilise a weighted sum look at the sum with its
bias, so the two have to be one op for a file to get the relevance of the network that it came from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from .fold import FoldedGraph
from .steps import OnnxGraph, OnnxStep, prune
from .values import HostArray, OnnxValue

DOMAIN = "lrp_engine"  # of the one op that no file contains


def join_biases(folded: FoldedGraph) -> FoldedGraph:
    """Join each MatMul by a constant with the constant that is added to its result alone.

    A product that is used elsewhere, too, stays as it is.
    """
    graph, constants = folded.graph, folded.constants
    uses = Counter(name for step in graph.steps for name in step.uses) + Counter(graph.outputs)
    products = {s.outputs[0]: s for s in graph.steps if _has_matrix(s, constants)}
    steps = [_joined(step, products, uses, constants) or step for step in graph.steps]
    return replace(folded, graph=_replaced(graph, steps))


def _replaced(graph: OnnxGraph, steps: list[OnnxStep]) -> OnnxGraph:
    return replace(graph, steps=prune(steps, graph.outputs))


def _has_matrix(step: OnnxStep, constants: Mapping[str, OnnxValue]) -> bool:
    """Return whether a step multiplies a value by a constant matrix from the right."""
    if step.op != "MatMul" or step.domain or step.inputs[0] in constants:
        return False
    return len(_shape(constants.get(step.inputs[1]))) == 2


def _joined(
    step: OnnxStep,
    products: Mapping[str, OnnxStep],
    uses: Mapping[str, int],
    constants: Mapping[str, OnnxValue],
) -> OnnxStep | None:
    """Return the affine map that replaces an Add of a product and a constant row; None if none."""
    if step.op != "Add" or step.domain:
        return None
    for value, bias in (step.inputs, step.inputs[::-1]):
        product = products.get(value)
        if product is None or uses[value] != 1:
            continue
        columns = _shape(constants[product.inputs[1]])[1]
        if _is_row(_shape(constants.get(bias)), columns):
            inputs = (*product.inputs, bias)
            return replace(step, op="Linear", domain=DOMAIN, inputs=inputs)
    return None


def _is_row(shape: tuple[int, ...], columns: int) -> bool:
    return bool(shape) and shape[-1] == columns and all(size == 1 for size in shape[:-1])


def _shape(value: OnnxValue | None) -> tuple[int, ...]:
    if isinstance(value, HostArray):
        return value.array.shape
    return tuple(value.shape) if isinstance(value, Tensor) else ()
