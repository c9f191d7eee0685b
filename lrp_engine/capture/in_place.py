"""Read ops that write into an operand as ops that return a new value, where that is the same."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree as pytree

from ..graphs.aten import DROPOUTS, TRANSPARENT
from ..graphs.nodes import is_getitem, part_of, value, values
from ..graphs.randomness import is_random
from ..graphs.schema import bind


class Entangled(Exception):
    """A write that others may see; only torch's own functionalisation can resolve it."""


def writes(node: fx.Node) -> bool:
    """Return whether an op changes an operand."""
    op = node.target
    return isinstance(op, OpOverload) and op._schema.is_mutable and _form(op) not in TRANSPARENT


def only_detaches(node: fx.Node) -> bool:
    """Return whether all that an op declares to write is autograd's own record."""
    op = node.target
    return isinstance(op, OpOverload) and op._schema.is_mutable and _form(op) in TRANSPARENT


@dataclass(frozen=True)
class Write:
    """The op that returns what a node writes, and the nodes that name the tensor written to."""

    op: OpOverload
    names: frozenset[fx.Node]


def may_alias_silently(op: OpOverload) -> bool:
    """Return whether an op may alias or write without its schema saying so.

    Dropout may return its operand, batch norm in training writes its statistics.
    """
    return torch.Tag.maybe_aliasing_or_mutating in op.tags


def is_its_operand(node: fx.Node) -> bool:
    """Return whether a node is another name for its operand: a detachment, dropout switched off.

    Dropout is traced as a copy; were it read as one, a later write would not reach the operand.
    """
    if only_detaches(node):
        return True
    if not isinstance(node.target, OpOverload) or not may_alias_silently(node.target):
        return False
    arguments = bind(node.target, node.args, node.kwargs)
    return "train" in arguments and (arguments["train"] is False or arguments.get("p") == 0)


def is_dropout(node: fx.Node) -> bool:
    """Return whether a node is dropout that is switched on: a product with what it draws."""
    return node.target in DROPOUTS and is_random(node)


def out_of_place(graph: fx.Graph) -> dict[fx.Node, Write]:
    """Find for each op that writes the op that returns what it would write.

    After such a node, all names of the tensor mean the new value. That is equivalent only if no
    other view of the same memory is read later.

    Raises:
        Entangled: Another view is read later, or an input, a parameter or a buffer is written to.
    """
    if not any(writes(node) for node in graph.nodes):
        return {}
    names = _Names(graph)
    found: dict[fx.Node, Write] = {}
    for node in graph.nodes:
        if not (writes(node) or is_its_operand(node)):
            continue
        same = names.add(node)
        if writes(node):
            names.check_unseen(node, same)
            found[node] = Write(_functional(node), frozenset(same))
    return found


@dataclass
class _Names:
    """The nodes that name one tensor, and those that may share its memory."""

    graph: fx.Graph
    _same: dict[fx.Node, set[fx.Node]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._sharing = _sharing(self.graph)
        self._position = {node: i for i, node in enumerate(self.graph.nodes)}

    def add(self, node: fx.Node) -> set[fx.Node]:
        """Record one more name of a node's operand; return all names of that tensor so far."""
        operand = node.args[0] if node.args else None
        if not isinstance(operand, fx.Node) or operand not in self._sharing[node]:
            raise Entangled(f"{node.target} does not return what it writes to")
        same = self._same.setdefault(operand, {operand})
        same.add(node)
        self._same[node] = same
        return same

    def check_unseen(self, node: fx.Node, same: set[fx.Node]) -> None:
        """Raise Entangled if a write is seen through anything but the tensor's own names."""
        position = self._position
        for other in self._sharing[node]:
            seen_later = any(position[user] > position[node] for user in other.users)
            before = position[other] < position[node] and other not in same
            if other.op != "call_function" or (before and seen_later):
                raise Entangled(f"{other} shares the memory that {node.target} writes to")


def _functional(node: fx.Node) -> OpOverload:
    """Return the op that writes nothing, if its result is what is written."""
    target = node.target
    assert isinstance(target, OpOverload)
    op = _form(target)
    if op is None:
        raise Entangled(f"{target} has no functional form")
    if _signature(op) != _signature(target) or op._schema.is_mutable:
        raise Entangled(f"{op} takes other arguments than {target}")
    written = value(node)
    if not isinstance(written, FakeTensor):
        raise Entangled(f"{target} returns no tensor")
    args, kwargs = values((node.args, node.kwargs))
    with written.fake_mode, torch.no_grad():
        result = op(*args, **kwargs)
    if _layout(result) != _layout(written):
        raise Entangled(f"{op} returns another layout than {target} writes to")
    return op


def _form(op: OpOverload) -> OpOverload | None:
    """Return the op of the same name without the underscore."""
    name = op._schema.name.split("::")[1]
    if name.endswith("__") or not name.endswith("_"):
        return None
    packet = getattr(getattr(torch.ops, op.namespace), name.removesuffix("_"), None)
    return getattr(packet, op._overloadname, None)


def _signature(op: OpOverload) -> list[tuple[str, str, bool]]:
    return [(a.name, str(a.type), a.kwarg_only) for a in op._schema.arguments]


def _layout(tensor: Tensor) -> tuple[object, ...]:
    return tensor.dtype, tuple(map(str, tensor.shape)), tuple(map(str, tensor.stride()))


def _sharing(graph: fx.Graph) -> dict[fx.Node, set[fx.Node]]:
    """Return for each node the nodes that may share memory with it.

    Traced values lie in the same storage if the model's own do. Where an op may hand on its operand
    without saying so, and tracing copied it, the op's tag tells; its schema tells the rest.
    """
    groups: dict[fx.Node, set[fx.Node]] = {}
    storages: dict[int, fx.Node] = {}

    def join(a: fx.Node, b: fx.Node) -> None:
        if groups[a] is not groups[b]:
            groups[a] |= groups[b]
            for member in groups[b]:
                groups[member] = groups[a]

    for node in graph.nodes:
        groups[node] = {node}
        traced = value(node)
        if isinstance(traced, Tensor):
            join(node, storages.setdefault(traced.untyped_storage()._cdata, node))
        for operand in _handed_on(node):
            join(node, operand)
    return groups


def _handed_on(node: fx.Node) -> tuple[fx.Node, ...]:
    """Return the operands that a node's result may be, or be a view of."""
    if is_getitem(node):
        producer, _ = part_of(node)
        return (producer,) if _handed_on(producer) else ()
    if not isinstance(node.target, OpOverload):
        return ()
    arguments = bind(node.target, node.args, node.kwargs)
    declared = [a.name for a in node.target._schema.arguments if a.alias_info is not None]
    names = list(arguments)[:1] if may_alias_silently(node.target) else declared
    leaves = pytree.tree_leaves([arguments[name] for name in names])
    return tuple(leaf for leaf in leaves if isinstance(leaf, fx.Node))
