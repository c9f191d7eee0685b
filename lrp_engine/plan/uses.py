"""Say what each tensor argument of a call does there: carry relevance, choose, or be computed with.

It is the records that say so (`operands`, `selectors`, `templates`), and the dtype: a boolean that
is no operand, or one that switches, only chooses.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..graphs.nodes import carries_values, value
from ..graphs.schema import bind, names_of, operands_of, pick
from ..method.op import Op, Stop
from ..method.registry import Registry


@dataclass(frozen=True)
class Use:
    """One tensor argument of a call.

    `carries`: relevance passes through it where it is floating-point and has any. `chooses`: its
    entries only tell which entries of others are taken.
    """

    node: fx.Node
    carries: bool
    chooses: bool


@dataclass(frozen=True)
class Uses:
    """The arguments of a call whose entries count, with the record that serves it.

    `factors` are the arguments of which each scales what the others contribute.
    """

    op: Op | None
    each: tuple[Use, ...]
    factors: tuple[fx.Node, ...] = ()


def uses_of(node: fx.Node, registry: Registry, live: Collection[fx.Node]) -> Uses:
    """Return what a call does with its arguments, of which `live` carry relevance."""
    if getattr(node.target, "_schema", None) is None:
        return Uses(None, tuple(Use(n, True, False) for n in node.all_input_nodes))
    arguments = bind(node.target, node.args, node.kwargs)
    entering = operands_of(tuple(arguments), arguments, fx.Node)
    carrying = [o for o in entering if pick(arguments, o) in live]
    names = names_of(o for o in carrying if carries_values(pick(arguments, o)))
    op = registry.find(node.target, arguments, names)
    if op is None:
        bare = [pick(arguments, o) for o in entering]
        return Uses(None, tuple(Use(n, True, is_boolean(n)) for n in bare))
    passes = not isinstance(op, Stop)
    each = []
    for operand in entering:
        found, declared = pick(arguments, operand), operand.name in op.operands
        switches = operand.name in op.switches or not declared
        chooses = operand.name in op.selectors or (is_boolean(found) and switches)
        if operand.name not in op.templates:
            each.append(Use(found, declared and passes, chooses))
    factors = operands_of(op.multiplied(), arguments, fx.Node)
    return Uses(op, tuple(each), tuple(pick(arguments, o) for o in factors))


def is_boolean(node: fx.Node) -> bool:
    """Return whether a node's value is a tensor of booleans."""
    found = value(node)
    return isinstance(found, Tensor) and found.dtype is torch.bool
