"""Compute what depends on constants alone before the graph is traced, within a quota of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from .interpret import ImportScope, evaluate
from .limits import AllocationGuard, Quota
from .steps import OnnxGraph, prune
from .unsupported import Unsupported
from .values import OnnxValue, as_constant

# Ops whose results are not a function of their inputs.
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"}
    | {"Multinomial"}
)


@dataclass(frozen=True)
class FoldedGraph:
    """The graph without its constant steps, and the constants that the rest needs."""

    graph: OnnxGraph
    constants: Mapping[str, OnnxValue]


def fold(
    graph: OnnxGraph, constants: Mapping[str, OnnxValue], scope: ImportScope, quota: Quota
) -> FoldedGraph:
    """Fold constant steps. Raises OnnxFileError for constants beyond the quota."""
    held, left = dict(constants), []
    for step in graph.steps:
        if step.op in _RANDOM or not all(name in held for name in step.uses):
            left.append(step)
            continue
        try:
            with AllocationGuard(quota, "it"):
                results = evaluate(step, held, scope)
        except (Unsupported, RuntimeError):  # the second: torch's word for what does not fit
            left.append(step)  # refused later, with everything else that cannot be done
            continue
        held |= {
            name: as_constant(value) if isinstance(value, Tensor) else value
            for name, value in zip(step.outputs, results, strict=False)
            if name
        }
    steps = prune(left, graph.outputs)
    used = {name for step in steps for name in step.uses} | set(graph.outputs)
    kept = {name: value for name, value in held.items() if name in used}
    return FoldedGraph(replace(graph, steps=steps), kept)
