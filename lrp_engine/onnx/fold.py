"""Computes what depends on constants alone before the graph is traced, within a byte budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from .interpret import Scope, evaluate
from .limits import Budget, Guarded
from .steps import Graph, pruned
from .unsupported import Unsupported
from .values import Value, known

# What these give is not a function of their inputs.
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"}
    | {"Multinomial"}
)


@dataclass(frozen=True)
class Folded:
    """The graph without its constant steps, and the constants that the rest needs."""

    graph: Graph
    constants: Mapping[str, Value]


def fold(graph: Graph, constants: Mapping[str, Value], scope: Scope, budget: Budget) -> Folded:
    """Folds constant steps. Raises Unsupported for constants beyond the budget."""
    held, left = dict(constants), []
    for step in graph.steps:
        if step.op in _RANDOM or not all(name in held for name in step.uses):
            left.append(step)
            continue
        try:
            with Guarded(budget, "it"):
                results = evaluate(step, held, scope)
        except Unsupported:
            left.append(step)  # refused later, with everything else that cannot be done
            continue
        held |= {
            name: known(value) if isinstance(value, Tensor) else value
            for name, value in zip(step.outputs, results, strict=False)
            if name
        }
    steps = pruned(left, graph.outputs)
    used = {name for step in steps for name in step.uses} | set(graph.outputs)
    kept = {name: value for name, value in held.items() if name in used}
    return Folded(replace(graph, steps=steps), kept)
