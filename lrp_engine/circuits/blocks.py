"""Finds residual stream, attention and MLP blocks in a captured graph, by what the ops do.

A *spine* value is the residual stream between two blocks. It starts at the embedding; every sum of
a spine value and something computed from the spine by weighted sums is the next one. What was
added is a block: an attention block if a softmax or fused attention lies in it, else an MLP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from torch import Tensor, fx

from ..capture import Captured
from ..graphs.aten import SUM
from ..graphs.nodes import is_floating, is_getitem, module_stack, value
from ..graphs.schema import bind, operands_of, pick
from ..method.op import Op
from ..method.registry import Registry

_MIXING = {"attention", "softmax", "weighted_sum"}


class Block(Enum):
    """What a block of the model is."""

    ATTENTION = "attention"
    MLP = "mlp"


@dataclass(frozen=True)
class Heads:
    """The tensors of one attention, each (batch, head, position, feature)."""

    query: fx.Node
    key: fx.Node
    value: fx.Node
    z: fx.Node


@dataclass(frozen=True)
class Branch:
    """One block: it reads the spine at `reads` and adds `out` to `skip`, which gives `after`.

    `path` is the module that the block lies in, `heads` its attention, `neurons` the input of its
    last weighted sum, (batch, position, neuron).
    """

    kind: Block
    layer: int
    reads: fx.Node
    skip: fx.Node
    out: fx.Node
    after: fx.Node
    path: str
    heads: Heads | None = None
    neurons: fx.Node | None = None


@dataclass(frozen=True)
class Structure:
    """Every block in order, and the tensors that the model starts from."""

    embeddings: tuple[fx.Node, ...]
    branches: tuple[Branch, ...]
    last: fx.Node | None

    @property
    def layers(self) -> int:
        """How many layers there are; a layer is an attention block and the MLP behind it."""
        return 1 + max((b.layer for b in self.branches), default=-1)


@dataclass
class Reader:
    """Reads a graph once, forward. `tags` maps a node to the spine value it is made from without
    any mixing of features (None behind a mixing op)."""

    registry: Registry
    tags: dict[fx.Node, fx.Node | None] = field(default_factory=dict)
    ops: dict[fx.Node, Op] = field(default_factory=dict)
    found: list[Branch] = field(default_factory=list)

    def visit(self, node: fx.Node) -> None:
        """Tags a node; a sum that joins a block to the spine is recorded."""
        live = self.live(node)
        if not live or not is_floating(node):
            return
        op = self._op(node, live)
        if op is not None:
            self.ops[node] = op
        tags = {self.tags[n] for n in live}
        if node.target is SUM and self._joins(node, live):
            self.tags[node] = node
        elif op is not None and (op.family in _MIXING or self._is_product(node)):
            self.tags[node] = None
        else:
            self.tags[node] = tags.pop() if len(tags) == 1 else None

    def live(self, node: fx.Node) -> list[fx.Node]:
        """The operands that depend on an embedding."""
        return [n for n in node.all_input_nodes if n in self.tags]

    def _op(self, node: fx.Node, live: list[fx.Node]) -> Op | None:
        if getattr(node.target, "_schema", None) is None:
            return None
        arguments = bind(node.target, node.args, node.kwargs)
        entering = operands_of(tuple(arguments), arguments, fx.Node)
        names = frozenset(o.name for o in entering if pick(arguments, o) in set(live))
        return self.registry.find(node.target, arguments, names)

    def _is_product(self, node: fx.Node) -> bool:
        """A product of matrices; elementwise products keep every feature where it is."""
        op = self.ops[node]
        return op.family == "product" and not op.elementwise

    def _joins(self, node: fx.Node, live: list[fx.Node]) -> bool:
        terms = [a for a in node.args[:2] if isinstance(a, fx.Node) and a in self.tags]
        if len(terms) != 2 or len({_shape(n) for n in (*terms, node)}) != 1:
            return False
        for skip, out in (terms, terms[::-1]):
            if self.tags[skip] is not None and self.tags[out] is None:
                self.found += self._branches(skip, out, node)
                return True
        return False

    def _branches(self, skip: fx.Node, out: fx.Node, after: fx.Node) -> Iterator[Branch]:
        """One block, or two that were added to each other first (parallel attention and MLP)."""
        parts = [a for a in out.args[:2] if isinstance(a, fx.Node)] if out.target is SUM else []
        kinds = [self._kind(p) for p in parts if p in self.tags and self.tags[p] is None]
        split = len(kinds) == 2 and len(set(kinds)) == 2
        first = sorted(parts, key=lambda p: self._kind(p) is Block.MLP) if split else [out]
        for part in first:  # attention before MLP
            inside, entries = self.inside(part)
            kind = self._kind(part)
            reads = self.tags[entries[0]] if entries else None
            yield Branch(
                kind=kind,
                layer=self._layer(kind),
                reads=skip if reads in (None, self.tags[skip]) else reads,
                skip=skip,
                out=part,
                after=after,
                path=common_path(part, inside),
                heads=self._heads(inside) if kind is Block.ATTENTION else None,
                neurons=self._neurons(part) if kind is Block.MLP else None,
            )

    def inside(self, out: fx.Node) -> tuple[list[fx.Node], list[fx.Node]]:
        """The nodes of a block from its end backward, and the spine's values that enter it."""
        inside, entries, stack, seen = [], [], [out], {out}
        while stack:
            node = stack.pop()
            if self.tags[node] is not None:
                entries.append(node)
                continue
            inside.append(node)
            fresh = [n for n in self.live(node) if n not in seen]
            seen.update(fresh)
            stack += fresh
        return inside, entries

    def _kind(self, out: fx.Node) -> Block:
        inside, _ = self.inside(out)
        families = {self.ops[n].family for n in inside if n in self.ops}
        return Block.ATTENTION if families & {"attention", "softmax"} else Block.MLP

    def _layer(self, kind: Block) -> int:
        attentions = sum(b.kind is Block.ATTENTION for b in self.found)
        if kind is Block.ATTENTION:
            return attentions
        mlps = sum(b.kind is Block.MLP for b in self.found)
        return max(attentions - 1, 0) if attentions else mlps

    def _heads(self, inside: list[fx.Node]) -> Heads | None:
        for node in inside:
            family = self.ops[node].family if node in self.ops else ""
            if family == "attention":
                arguments = bind(node.target, node.args, node.kwargs)
                q, k, v = (arguments[n] for n in ("query", "key", "value"))
                return self._checked(q, k, v, node)
            if family == "softmax":
                return self._written_out(node)
        return None

    def _written_out(self, softmax: fx.Node) -> Heads | None:
        """Attention in single ops: scores = q k^T, softmax, weights times values."""
        z = softmax
        while not self._mixes_two(z):
            users = [u for u in z.users if u in self.tags]
            if len(users) != 1:
                return None
            previous, z = z, users[0]
        scores = softmax
        while not self._mixes_two(scores):
            operands = self.live(scores)
            if len(operands) != 1:
                return None
            (scores,) = operands
        query, key = (n for n in scores.args[:2] if isinstance(n, fx.Node))
        values = next(n for n in self.live(z) if n is not previous)
        transposed = key.args[0] if key.args and isinstance(key.args[0], fx.Node) else key
        return self._checked(query, transposed, values, z)

    def _mixes_two(self, node: fx.Node) -> bool:
        op = self.ops.get(node)
        return op is not None and op.family == "product" and len(self.live(node)) == 2

    def _checked(self, q: fx.Node, k: fx.Node, v: fx.Node, z: fx.Node) -> Heads | None:
        """Only where the heads have an axis of their own: (batch, head, position, feature)."""
        four = all(isinstance(value(n), Tensor) and value(n).dim() == 4 for n in (q, k, v, z))
        return Heads(q, k, v, z) if four else None

    def _neurons(self, out: fx.Node) -> fx.Node | None:
        """The input of the block's last weighted sum, where it still has three axes."""
        node: fx.Node | None = out
        while node is not None and (
            node not in self.ops or self.ops[node].family != "weighted_sum"
        ):
            operands = self.live(node)
            node = operands[0] if len(operands) == 1 else None
        if node is None:
            return None
        (node,) = self.live(node)
        while value(node).dim() != 3:
            operands = self.live(node)
            if len(operands) != 1 or node not in self.ops or self.ops[node].family != "move":
                return None
            (node,) = operands
        return node if self.tags[node] is None else None


def read_structure(
    captured: Captured, registry: Registry, embeddings: tuple[fx.Node, ...]
) -> Structure:
    """The blocks of a model that starts from `embeddings`; none where nothing looks like one."""
    reader = Reader(registry, tags=dict.fromkeys(embeddings, embeddings[0]))
    for node in captured.graph.nodes:
        if node.op == "call_function" and node not in reader.tags:
            reader.visit(node)
    last = reader.found[-1].after if reader.found else None
    return Structure(embeddings, tuple(reader.found), last)


def common_path(out: fx.Node, inside: list[fx.Node]) -> str:
    """The innermost module that holds everything that the block mixes."""
    stacks = [[path for path, _ in module_stack(n)] for n in inside if not is_getitem(n)]
    shared = [path for path in stacks[0] if all(path in s for s in stacks)] if stacks else []
    return shared[-1] if shared else out.name


def _shape(node: fx.Node) -> tuple[str, ...]:
    fake = value(node)
    return tuple(map(str, fake.shape)) if isinstance(fake, Tensor) else ()
