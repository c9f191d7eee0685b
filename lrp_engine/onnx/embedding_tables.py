"""Dequantise quantised embedding tables as a whole, before rows are looked up in them.

A row of integers carries no relevance, and an integer input is explained at its embedding. So the
rows that are looked up are real; an op that takes them as integers gets them quantised again, which
is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .steps import OnnxGraph, OnnxStep, prune
from .values import HostArray, OnnxValue

_CODES = (torch.int8, torch.uint8)


def dequantise_tables(graph: OnnxGraph, constants: Mapping[str, OnnxValue]) -> OnnxGraph:
    """Rewrite lookups in 8-bit tables whose rows are dequantised, or enter a quantised op."""
    parameters = {
        lookup.outputs[0]: found
        for lookup in graph.steps
        if _is_lookup(lookup, constants)
        and (found := _parameters(lookup.outputs[0], graph.steps, constants))
    }
    steps = [new for step in graph.steps for new in _rewritten(step, parameters)]
    return replace(graph, steps=prune(steps, graph.outputs))


def _is_lookup(step: OnnxStep, constants: Mapping[str, OnnxValue]) -> bool:
    if step.op != "Gather" or step.domain or step.attributes.get("axis", 0) != 0:
        return False
    table = constants.get(step.inputs[0])
    return isinstance(table, (Tensor, HostArray)) and table.dtype in _CODES


def _parameters(
    codes: str, steps: Sequence[OnnxStep], constants: Mapping[str, OnnxValue]
) -> tuple[str, ...]:
    """Return the names of scale and zero point: they follow the codes in the op that reads them."""
    for step in steps:
        takes_codes = step.op == "DequantizeLinear" or step.op.startswith("QLinear")
        if takes_codes and codes in step.inputs:
            at = step.inputs.index(codes) + 1
            found = step.inputs[at : at + 2]
            return found if found and _is_number(constants.get(found[0])) else ()
    return ()


def _is_number(scale: OnnxValue | None) -> bool:
    if isinstance(scale, HostArray):
        return scale.array.size == 1
    return isinstance(scale, Tensor) and scale.numel() == 1


def _rewritten(step: OnnxStep, parameters: Mapping[str, tuple[str, ...]]) -> Iterator[OnnxStep]:
    """Yield three steps for a lookup; its dequantisation becomes a mere Identity."""
    if step.outputs and (own := parameters.get(step.outputs[0])):
        table, codes = f"{step.inputs[0]} for {step.name}", step.outputs[0]
        yield _instead(step, "DequantizeLinear", (step.inputs[0], *own), table)
        yield replace(step, inputs=(table, *step.inputs[1:]), outputs=(_real(codes),))
        yield _instead(step, "QuantizeLinear", (_real(codes), *own), codes)
    elif step.op == "DequantizeLinear" and step.inputs[1:] == parameters.get(step.inputs[0]):
        yield _instead(step, "Identity", (_real(step.inputs[0]),), step.outputs[0])
    else:
        yield step


def _instead(step: OnnxStep, op: str, inputs: tuple[str, ...], output: str) -> OnnxStep:
    """Return an ai.onnx step without attributes, in the place of another."""
    return replace(step, op=op, domain="", inputs=inputs, outputs=(output,), attributes={})


def _real(codes: str) -> str:
    return f"{codes} as real numbers"
