"""Rewrite complex values as pairs of real ones, so that rules never meet a complex number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, fx
from torch.utils import _pytree as pytree

from ...capture import Captured
from ...graphs.nodes import is_complex, is_getitem, part_of, value
from ...graphs.schema import bind, schema_of
from ...method.registry import Registry
from ..decompose import decompose, find_recipe
from ..rewriting import Copies, Rewritten, follow_values, remap, sweep
from .arithmetic import NotSpelled
from .pair import Pair
from .parts import OF_SHAPE, values_among
from .tables import EXACT, SPELLINGS
from .writer import PartWriter

COMPLEX = "complex values: no rule passes relevance through them"


def split_complex(captured: Captured, registry: Registry) -> Rewritten | None:
    """Write every complex value of a graph as a pair of real ones; None if there is none.

    Requires functional ops. Ensures that what is complex is constant, an input or output of the
    model, or at an op without a spelling. Where relevance would have to pass through one of those,
    it is refused when rules are assigned. Products may round differently: the model is compared
    once.
    """
    if not any(map(is_complex, captured.graph.nodes)):
        return None
    opened = _open(captured, registry)
    splitter = _Splitter(registry, fx.Graph())
    for node in opened.captured.graph.nodes:
        splitter.visit(node)
    copies = splitter.copies | splitter.own
    follow_values(opened.captured.graph, copies)
    sweep(splitter.writer.graph)
    split = remap(opened.captured, splitter.writer.graph, copies)
    apart = tuple(sorted({*split.taken_apart, *splitter.spelled}))
    followed = {node: copies.get(now) for node, now in opened.copies.items()}  # type: ignore[arg-type]
    return Rewritten(replace(split, taken_apart=apart), followed)


def _open(captured: Captured, registry: Registry) -> Rewritten:
    """Take apart the ops on complex values that have no spelling, as far as torch itself does."""
    copies: Copies = {node: node for node in captured.graph.nodes}
    while True:
        wholes = {n: COMPLEX for n in captured.graph.nodes if _hides_parts(n, registry)}
        simpler = decompose(captured, wholes) if wholes else None
        if simpler is None:
            return Rewritten(captured, copies)
        captured = simpler.captured
        copies = {node: simpler.copies.get(now) for node, now in copies.items()}  # type: ignore[arg-type]


def _hides_parts(node: fx.Node, registry: Registry) -> bool:
    if not _touches_complex(node) or not find_recipe(node.target):
        return False
    return not is_spelled(node, registry)


def is_spelled(node: fx.Node, registry: Registry) -> bool:
    """Return whether there is a way to compute an op with real and imaginary parts."""
    if node.target in SPELLINGS or node.target in OF_SHAPE:
        return True
    arguments = bind(node.target, node.args, node.kwargs)
    return bool(values_among(node.target, arguments, registry))


def without_spelled(gaps: Mapping[fx.Node, str], registry: Registry) -> dict[fx.Node, str]:
    """Return the ops without a rule that are worth taking apart.

    What joins and splits the parts around an op without a spelling would only come back.
    """
    return {
        node: reason
        for node, reason in gaps.items()
        if not (is_complex(node) and schema_of(node.target) and is_spelled(node, registry))
    }


def _touches_complex(node: fx.Node) -> bool:
    return is_complex(node) or any(map(is_complex, node.all_input_nodes))


@dataclass
class _Splitter:
    """Copies nodes to a new graph; complex ones become pairs.

    `own` holds the nodes, complex themselves, of the model's inputs and outputs, and `spelled` the
    ops that were written in others, which may round differently.
    """

    registry: Registry
    graph: fx.Graph
    copies: Copies = field(default_factory=dict)
    own: Copies = field(default_factory=dict)
    spelled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.writer = PartWriter(self.graph)

    def visit(self, node: fx.Node) -> None:
        """Copy a node."""
        if node.op == "call_function":
            self.copies[node] = self._call(node)
        elif node.op == "output":
            self._output(node)
        else:
            copy = self.graph.node_copy(node)
            self.own[node] = copy
            self.copies[node] = self.writer.split(copy, node) if is_complex(node) else copy

    def _output(self, node: fx.Node) -> None:
        """Return the model's own complex values to it."""
        leaves = [n for n in node.all_input_nodes if isinstance(self.copies[n], Pair)]
        self.own |= {n: self.writer.join(self.copies[n], n) for n in leaves}  # type: ignore[arg-type]
        self.graph.node_copy(node, lambda n: self.own.get(n, self.copies[n]))

    def _call(self, node: fx.Node) -> Any:
        pairs = [n for n in node.all_input_nodes if isinstance(self.copies[n], Pair)]
        if not pairs and not is_complex(node):
            return self.graph.node_copy(node, lambda n: self.copies[n])
        if is_getitem(node):
            return self._entry(node)
        args, kwargs = self._substituted(node)
        return self._written(node, args, kwargs) or self._left_complex(node, pairs)

    def _substituted(self, node: fx.Node) -> tuple[Any, Any]:
        """Return the arguments with pairs in place of complex nodes and numbers."""
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: self.copies[n])
        leaves, spec = pytree.tree_flatten((args, kwargs))
        leaves = [Pair(v.real, v.imag) if isinstance(v, complex) else v for v in leaves]
        found: tuple[Any, Any] = pytree.tree_unflatten(leaves, spec)
        return found

    def _written(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        """Return what computes a call with parts; None if there is no spelling for it."""
        if node.target in OF_SHAPE:
            return self.writer.call(node.target, (args[0].re, *args[1:]), node, kwargs)
        if schema_of(node.target) is None:
            return None
        arguments = bind(node.target, args, kwargs)
        values = values_among(node.target, arguments, self.registry)
        if values:
            others = [v for name, v in arguments.items() if name not in values]
            if is_complex(node) and not _hold_pairs(others):
                return self.writer.on_each_part(node.target, args, kwargs, values, node)
            return None
        spelling = SPELLINGS.get(node.target)
        if spelling is None or not isinstance(value(node), Tensor):
            return None
        try:
            found = self.writer.spell(spelling, args, kwargs, node)
        except NotSpelled:
            return None
        if node.target not in EXACT:
            self.spelled.add(str(node.target))
        return found

    def _entry(self, node: fx.Node) -> Any:
        """Take one result out of several."""
        producer, index = part_of(node)
        several = self.copies[producer]
        if isinstance(several, Pair):
            return Pair(*(self.writer.call(node.target, (n, index), node) for n in several))
        copy = self.graph.node_copy(node, lambda n: self.copies[n])
        return self.writer.split(copy, node, COMPLEX) if is_complex(node) else copy

    def _left_complex(self, node: fx.Node, pairs: Iterable[fx.Node]) -> Any:
        """Copy an op that has no spelling: where it is live, it is refused by its name."""
        joined = {n: self.writer.join(self.copies[n], node, COMPLEX) for n in pairs}  # type: ignore[arg-type]
        copy = self.graph.node_copy(node, lambda n: joined.get(n, self.copies[n]))
        whole = isinstance(value(node), Tensor) and is_complex(node)
        return self.writer.split(copy, node, COMPLEX) if whole else copy


def _hold_pairs(arguments: Iterable[object]) -> bool:
    leaves = pytree.tree_leaves(list(arguments), is_leaf=lambda x: isinstance(x, Pair))
    return any(isinstance(leaf, Pair) for leaf in leaves)
