"""Build the joint graph: the forward graph and, behind it, everything the rules write."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx
from torch.fx.node import Argument, Target
from torch.utils import _pytree as pytree

from ..capture import Captured
from ..capture.shape_contract import free_sizes
from ..graphs.aten import FILLED, SIZE
from ..graphs.nodes import VALUE_OF, value
from ..graphs.randomness import is_random
from ..graphs.tracing import (
    Template,
    inline,
    signature,
    trace,
)

_NEVER_SHARED = {torch.Tag.nondeterministic_seeded}


@dataclass
class JointGraph:
    """A graph under construction. Equal computations are one node.

    `copies` maps the captured graph's nodes to this graph's; `reads` remembers which values of
    the forward pass the rules asked for, and which op's rule asked (the promises made).
    `shared` maps forward nodes to the node that took their place. With a reference run,
    `references` maps the captured graph's nodes to those of that run; what depends on no input is
    the same node in both.
    """

    graph: fx.Graph = field(default_factory=fx.Graph)
    copies: dict[fx.Node, fx.Node] = field(default_factory=dict)
    reads: dict[fx.Node, list[fx.Node]] = field(default_factory=dict)
    seeds: list[fx.Node] = field(default_factory=list)
    shared: dict[fx.Node, fx.Node] = field(default_factory=dict)
    references: dict[fx.Node, fx.Node] = field(default_factory=dict)
    _known: dict[Hashable, fx.Node] = field(default_factory=dict)
    _sizes: dict[str, fx.Node] = field(default_factory=dict)

    @classmethod
    def of(cls, captured: Captured, runs: int = 1) -> JointGraph:
        """Copy the forward pass, without its output node, into a new joint graph.

        Args:
            captured: The model.
            runs: 2 adds a second forward pass, of a reference, behind the first.
        """
        joint = cls()
        nodes = [node for node in captured.graph.nodes if node.op != "output"]
        for node in nodes:
            joint._copy(node)
        joint.name_sizes([joint.copies[port.node] for port in captured.inputs])
        for node in nodes if runs == 2 else ():
            joint._copy_reference(node)
        return joint

    @property
    def forward_nodes(self) -> list[fx.Node]:
        """The nodes of the forward pass, or of both runs' forward passes, in order."""
        return [*self.copies.values(), *self.references.values()]

    def reference(self, node: fx.Node) -> fx.Node:
        """Return this graph's node for the reference run's value of a captured node."""
        copy = self.references[node]
        return self.shared.get(copy, copy)

    def _copy(self, node: fx.Node) -> None:
        stands_for = node.meta.get(VALUE_OF)
        if stands_for is not None:
            self.copies[node] = self.copies[stands_for]
            return
        self.copies[node] = self.graph.node_copy(node, lambda n: self.copies[n])
        self._remember(self.copies[node])

    def _copy_reference(self, node: fx.Node) -> None:
        """Copy a node once more if it depends on an input's values; sizes and draws are shared."""
        own = self.copies[node]
        stands_for = node.meta.get(VALUE_OF)
        if stands_for is not None:
            self.references[node] = self.references[stands_for]
        elif node.op == "placeholder" and isinstance(value(node), Tensor):
            copy = self.graph.placeholder(f"reference_{node.name}")
            copy.meta = dict(node.meta)
            self.references[node] = copy
        elif self._differs(node):
            self.references[node] = self.graph.node_copy(node, lambda n: self.references[n])
            self._remember(self.references[node])
        else:
            self.references[node] = own

    def _differs(self, node: fx.Node) -> bool:
        """Return whether a node's value may differ between the runs."""
        is_size = isinstance(value(node), (torch.SymInt, int))
        if node.op != "call_function" or is_size or is_random(node):
            return False
        return any(self.references[n] is not self.copies[n] for n in node.all_input_nodes)

    def seed(self, name: str, like: Tensor) -> fx.Node:
        """Add a placeholder for what the relevance program starts from."""
        placeholder = self.graph.placeholder(name)
        placeholder.meta["val"] = like
        self.seeds.append(placeholder)
        return placeholder

    def forward(self, node: fx.Node) -> fx.Node:
        """Return this graph's node for a node of the captured graph."""
        copy = self.copies[node]
        return self.shared.get(copy, copy)

    def replace(self, node: fx.Node, other: fx.Node) -> None:
        """Let `other` stand in for a forward node everywhere."""
        node.replace_all_uses_with(other)
        self.shared[node] = other

    def results_of(self, node: fx.Node, *, reference: bool = False) -> list[fx.Node]:
        """Return a captured node's result, or its results one by one, made if nobody takes them."""
        if isinstance(value(node), Tensor):
            return [self.reference(node) if reference else self.forward(node)]
        copy = (self.references if reference else self.copies)[node]
        return [
            self.emit(operator.getitem, (copy, i), {}, val) for i, val in enumerate(value(node))
        ]

    def write(
        self, template: Template, arguments: Sequence[Argument], asks: fx.Node
    ) -> list[fx.Node | None]:
        """Copy a rule's trace into the graph on behalf of the op `asks`; return its results."""
        for argument, read in zip(arguments, template.reads(), strict=True):
            if read and isinstance(argument, fx.Node):
                self.reads.setdefault(argument, []).append(asks)
        return inline(template, self.graph, arguments, emit=self.emit)

    def write_function(
        self,
        function: Callable[..., object],
        arguments: Sequence[Argument],
        asks: fx.Node,
        traces: dict[Hashable, Template],
    ) -> list[fx.Node]:
        """Trace a plain function of values, or take an equal trace, and write it.

        Args:
            function: Takes the arguments' values and returns a tensor, or a list of tensors.
            arguments: Nodes of this graph, and constants.
            asks: The op of the captured graph on whose behalf values are read.
            traces: Traces to take from and to add to.

        Returns:
            The nodes of its results.
        """
        examples = [value(n) for n in arguments]
        key = (function, *(signature(e) for e in examples))
        if key not in traces:
            traces[key] = trace(function, examples)
        return [n for n in self.write(traces[key], arguments, asks) if n is not None]

    def emit(
        self,
        target: Callable[..., object],
        args: tuple[Argument, ...],
        kwargs: Mapping[str, Argument],
        val: object,
    ) -> fx.Node:
        """Write one op whose value is `val`, or return the node that already computes it."""
        if isinstance(val, (torch.SymInt, int)) and not isinstance(val, bool):
            expr = str(val)
            if expr in self._sizes:
                return self._sizes[expr]
        key = _key(target, args, kwargs)
        if key in self._known:
            return self._known[key]
        node = self.graph.call_function(target, args, dict(kwargs))
        node.meta["val"] = val
        self._remember(node)
        return node

    def _remember(self, node: fx.Node) -> None:
        if node.op != "call_function":
            return
        val = value(node)
        if isinstance(val, torch.SymInt):
            self._sizes.setdefault(str(val), node)
        tags = getattr(node.target, "tags", ())
        key = _key(node.target, node.args, node.kwargs)
        if key is not None and not _NEVER_SHARED.intersection(tags):
            self._known.setdefault(key, node)

    def take_for(self, call: tuple[Target, tuple[Argument, ...]], node: fx.Node) -> None:
        """Let a node stand for a call (an op and its arguments) that will be asked for."""
        self._known[_key(*call, {})] = node

    def name_sizes(self, inputs: Sequence[fx.Node]) -> None:
        """Read free sizes off the inputs, never off a value that would have to be kept."""
        for node, axis, size in free_sizes(inputs):
            if str(size) not in self._sizes:
                self.emit(SIZE, (node, axis), {}, size)


def _key(
    target: Target, args: tuple[Argument, ...], kwargs: Mapping[str, Argument]
) -> Hashable | None:
    """Return what a node computes as a key; None if an argument cannot be compared."""
    if target in FILLED:
        args = (str(signature(value(args[0]))), *args[1:])
    leaves, spec = pytree.tree_flatten((args, kwargs))
    if not all(isinstance(leaf, _HASHABLE) for leaf in leaves):
        return None
    # 1, 1.0 and True are equal to Python and different to an op.
    typed = tuple((type(leaf), leaf) for leaf in leaves)
    return (target, typed, str(spec))


_HASHABLE = (
    fx.Node,
    int,
    float,
    str,
    bool,
    type(None),
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
    slice,
)
