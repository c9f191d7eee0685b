"""Find the choices that a model subtracts again: h + (q - h).detach(), x - floor(x), x - x % s.

Relevance passes a detached value, since it flows with values, and a rounded one, which stands for
the number. In a sum that holds the same value with the other sign this would leave exactly nothing,
though the output depends on it. There the choice is a constant, as the gradient has it: a
straight-through estimator is the identity, and x less its whole part is x less a constant. What is
left by dividing is x less a rounded value: taken from x again, it is what rounding cut off.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ..graphs.aten import TRANSPARENT
from ..graphs.nodes import is_floating, value
from ..graphs.schema import (
    Arguments,
    Operand,
    bind,
    invoke,
    operands_of,
    pick,
    schema_of,
    substitute,
)
from ..graphs.walk import downstream
from ..method.op import Linear, Normaliser, Op, Product, Quotient, Selection
from ..method.registry import Registry
from .quantisation import Quantisation, is_rounding

_MOST_TERMS = 64


class Why(Enum):
    """The reason for which a detached or rounded value is a constant."""

    STRAIGHT_THROUGH = "straight through: the same value is added undetached; the rest is constant"
    ROUNDED = "straight through: what rounding added to the same value is constant"
    WHOLE_PART = "subtracted from the same value: how much is a step function, so a constant"


Factors = frozenset[tuple[fx.Node, int]]  # scales, with the power that each has


class Term(NamedTuple):
    """One summand: `weight` times `node` times scales, through the choices `held`."""

    node: fx.Node
    factors: Factors
    weight: float
    held: frozenset[fx.Node] = frozenset()


@dataclass
class Sums:
    """Writes values as sums of terms, through detachments and rounding."""

    registry: Registry
    quantisation: Quantisation
    known: dict[fx.Node, tuple[Term, ...]] = field(default_factory=dict)

    def op(self, node: fx.Node) -> Op | None:
        """Return the record of a node's op, if it has one."""
        if node.op != "call_function" or schema_of(node.target) is None:
            return None
        return self.registry.find(
            node.target, bind(node.target, node.args, node.kwargs), frozenset()
        )

    def is_choice(self, node: fx.Node) -> bool:
        """Return whether a node is detached or rounded."""
        return node.target in TRANSPARENT or is_rounding(node, self.registry)

    def is_remainder(self, node: fx.Node) -> bool:
        """Return whether a value is what rounding to a constant step, or to a scale, cuts off."""
        op = self.op(node)
        if not isinstance(op, Selection) or not op.remainder:
            return False
        arguments = bind(node.target, node.args, node.kwargs)
        _, *steps = (pick(arguments, o) for o in operands_of(op.operands, arguments, fx.Node))
        return all(n.op == "get_attr" or n in self._scales() for n in steps)

    def terms(self, node: fx.Node) -> tuple[Term, ...]:
        """Return the summands of a value; itself, if it is no sum."""
        if node not in self.known:
            found = tuple(self._expand(node))
            short = found and len(found) <= _MOST_TERMS
            self.known[node] = found if short else (Term(node, frozenset(), 1.0),)
        return self.known[node]

    def _expand(self, node: fx.Node) -> Iterator[Term]:
        op = self.op(node)
        if op is None or not is_floating(node):
            return
        arguments = bind(node.target, node.args, node.kwargs)
        operands = operands_of(op.operands, arguments, fx.Node)
        nodes = [pick(arguments, o) for o in operands]
        if self.is_choice(node) or self.is_remainder(node):
            for term in self.terms(nodes[0]):
                yield term._replace(held=term.held | {node})
        elif node in self.quantisation.limits:
            yield from self.terms(nodes[0])
        elif _has_fixed_weights(op, nodes, arguments):
            for i, summand in enumerate(nodes):
                weight = _weight(node, arguments, operands, i)
                for term in self.terms(summand) if summand not in self._scales() else ():
                    yield term._replace(weight=weight * term.weight)
        elif len(nodes) == 2 and isinstance(op, (Product, Quotient)) and op.elementwise:
            yield from self._scaled(nodes, isinstance(op, Quotient))

    def _scaled(self, nodes: list[fx.Node], divided: bool) -> Iterator[Term]:
        """Yield a value's terms times a scale, or divided by it."""
        scale = nodes[1] if divided or nodes[1] in self._scales() else nodes[0]
        value = nodes[0] if scale is nodes[1] else nodes[1]
        if scale not in self._scales() and scale.op != "get_attr":
            return
        power = -1 if divided else 1
        if isinstance(self.op(scale), Normaliser):
            scale, power = scale.all_input_nodes[0], -power
        for term in self.terms(value):
            powers = Counter(dict(term.factors))
            powers[scale] += power
            left = frozenset((s, n) for s, n in powers.items() if n)
            yield term._replace(factors=left)

    def _scales(self) -> frozenset[fx.Node]:
        return self.quantisation.scales


def _has_fixed_weights(op: Op, operands: list[fx.Node], arguments: Arguments) -> bool:
    """Return whether an op gives a sum of its operands, at every size with the same weights."""
    if not (isinstance(op, Linear) or len(operands) == 1):
        return False
    numbers = [n for n in pytree.tree_leaves(arguments) if isinstance(n, fx.Node)]
    fixed = all(isinstance(value(n), Tensor) for n in numbers)
    return bool(op.elementwise and op.scales and fixed)


def _weight(
    node: fx.Node, arguments: Arguments, operands: tuple[Operand, ...], place: int
) -> float:
    """Return the factor of one operand, by running the op on numbers.

    Tensors that are no operands only give a dtype or a shape.
    """
    zero = torch.zeros((), dtype=torch.float64)
    given: Arguments = fx.node.map_arg(
        arguments, lambda n: zero if isinstance(value(n), Tensor) else n
    )

    def run(number: float) -> float:
        filled = {o: zero + number if i == place else zero for i, o in enumerate(operands)}
        return float(invoke(node.target, substitute(given, filled)))

    return run(1.0) - run(0.0)


def find_constant_choices(
    graph: fx.Graph, registry: Registry, quantisation: Quantisation
) -> dict[fx.Node, Why]:
    """Return the detached and rounded values that are constants, each with the reason."""
    sums = Sums(registry, quantisation)
    choices = [node for node in graph.nodes if sums.is_choice(node) or sums.is_remainder(node)]
    found: dict[fx.Node, Why] = {}
    for node in downstream(choices):
        op = sums.op(node)
        if isinstance(op, Linear) and op.elementwise and len(node.all_input_nodes) > 1:
            for choice, why in _cancelled(sums.terms(node)):
                found[choice] = Why.ROUNDED if sums.is_remainder(choice) else why
    return found


def _cancelled(terms: tuple[Term, ...]) -> Iterator[tuple[fx.Node, Why]]:
    """Yield the choices of a sum in which a term takes away what another one gives."""
    by_value: dict[tuple[fx.Node, Factors], list[Term]] = defaultdict(list)
    for term in terms:
        by_value[term.node, term.factors].append(term)
    detached, rounded = list[Term](), list[Term]()
    for group in by_value.values():
        free = sum(t.weight for t in group if not t.held)
        by_detaching = [t for t in group if t.held and any(map(_detaches, t.held))]
        purely = [t for t in by_detaching if all(map(_detaches, t.held))]
        by_rounding = [t for t in group if t.held and t not in by_detaching]
        detached += by_detaching if _takes_away(free, purely) else []
        rounded += by_rounding if _takes_away(free, by_rounding) else []
    if detached:
        # What is detached beside it is meant to be added as a constant, too.
        beside = [term for term in terms if any(map(_detaches, term.held))]
        why = Why.ROUNDED if len(beside) == len(detached) else Why.STRAIGHT_THROUGH
        yield from ((node, why) for term in beside for node in term.held if _detaches(node))
    yield from ((node, Why.WHOLE_PART) for term in rounded for node in term.held)


def _takes_away(free: float, held: list[Term]) -> bool:
    return bool(free and held) and abs(free + sum(t.weight for t in held)) < 1e-9


def _detaches(node: fx.Node) -> bool:
    return node.target in TRANSPARENT
