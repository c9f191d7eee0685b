"""Computes what depends on constants alone before the graph is traced, within a byte budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from .errors import Unsupported
from .graph import Graph, Step, pruned
from .interpret import Scope, evaluate, refusal
from .values import Host, Value, known

# What these give is not a function of their inputs.
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"}
    | {"Multinomial"}
)
# A value this many times larger than what it is made from is refused, not left for run time.
_GROWTH = 16


@dataclass(frozen=True)
class Folded:
    """The graph without its constant steps, and the constants that the rest needs."""

    graph: Graph
    constants: Mapping[str, Value]


def fold(graph: Graph, constants: Mapping[str, Value], scope: Scope) -> Folded:
    """Folds constant steps; what would exceed the budget stays in the graph, or is refused.

    Raises Unsupported for a constant that a few bytes blow up beyond the budget.
    """
    held, left, spent = dict(constants), [], 0
    for step in graph.steps:
        if step.op in _RANDOM or not all(name in held for name in step.uses):
            left.append(step)
            continue
        size = _bytes_of(step, held, scope)
        if size is not None and spent + size > scope.limits.constants:
            _refuse_growth(step, size, held, scope)
            left.append(step)
            continue
        try:
            results = evaluate(step, held, scope)
        except Unsupported:
            left.append(step)  # refused later, with everything else that cannot be done
            continue
        spent += _new_bytes(results, step, held)
        held |= {
            name: known(value) if isinstance(value, Tensor) else value
            for name, value in zip(step.outputs, results, strict=False)
            if name
        }
    steps = pruned(left, graph.outputs)
    used = {name for step in steps for name in step.uses} | set(graph.outputs)
    kept = {name: value for name, value in held.items() if name in used}
    return Folded(replace(graph, steps=steps), kept)


def _bytes_of(step: Step, held: Mapping[str, Value], scope: Scope) -> int | None:
    """How large the results will be, by a run that computes no entry; None if that cannot tell."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:

        def fake(value: Value) -> Value:
            if isinstance(value, Tensor):
                return mode.from_tensor(value)
            return replace(value, constant=None) if isinstance(value, Host) else value

        given = {name: fake(held[name]) for name in step.uses}
        try:
            return _size(evaluate(step, given, scope))
        except Exception:  # whatever a fake tensor cannot do; the real run says what is wrong
            return None


def _size(values: tuple[Value, ...]) -> int:
    leaves = pytree.tree_leaves(values)
    return sum(leaf.numel() * leaf.element_size() for leaf in leaves if isinstance(leaf, Tensor))


def _new_bytes(results: tuple[Value, ...], step: Step, held: Mapping[str, Value]) -> int:
    """Views of weights are free."""
    old = {_storage(v) for name in step.uses if isinstance(v := held[name], Tensor)}
    return _size(tuple(r for r in results if isinstance(r, Tensor) and _storage(r) not in old))


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _refuse_growth(step: Step, size: int, held: Mapping[str, Value], scope: Scope) -> None:
    inputs = _size(tuple(held[name] for name in step.uses))
    if size > _GROWTH * max(inputs, 2**20):
        reason = f"a constant of {size:,} bytes from {inputs:,}; the limit is" + (
            f" {scope.limits.constants:,}"
        )
        raise Unsupported([refusal(step, scope, reason)])
