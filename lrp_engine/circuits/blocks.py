"""Find residual stream, attention and MLP blocks in a captured graph, by what the ops do.

A *stream value* is the residual stream between two blocks. It starts at the embedding; every sum of
a stream value and something computed from the stream by weighted sums is the next one. What was
added is a block: an attention block if a softmax or fused attention lies in it, else an MLP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from torch import Tensor, fx

from ..capture import Captured
from ..graphs.aten import SUM
from ..graphs.nodes import is_floating, is_getitem, module_stack, value
from ..graphs.schema import bind, operands_of, pick
from ..graphs.walk import closure
from ..method.op import Attention, Move, Op, Product, Softmax, Stop, WeightedSum
from ..method.registry import Registry
from .heads import Heads, heads_of_fused, heads_of_products


class BlockKind(Enum):
    """The kinds of blocks."""

    ATTENTION = "attention"
    MLP = "mlp"


@dataclass(frozen=True)
class Block:
    """One block: it reads the stream at `reads` and adds `out` to `skip`, which gives `after`.

    `path` is the module that the block lies in, `heads` its attention, `neurons` the input of its
    last weighted sum, (batch, position, neuron).
    """

    kind: BlockKind
    layer: int
    reads: fx.Node
    skip: fx.Node
    out: fx.Node
    after: fx.Node
    path: str
    heads: Heads | None = None
    neurons: fx.Node | None = None

    @property
    def readers(self) -> tuple[fx.Node, ...]:
        """The nodes that read the stream: an attention's query, key and value, else the output."""
        h = self.heads
        return (self.out,) if h is None else tuple(reader.node for reader in h.readers)


@dataclass(frozen=True)
class ModelBlocks:
    """Every block in order, and the tensors that the model starts from.

    `last` is the residual stream behind the last block; None if no block was found.
    """

    embeddings: tuple[fx.Node, ...]
    blocks: tuple[Block, ...]
    last: fx.Node | None

    @property
    def layers(self) -> int:
        """The number of layers; a layer is an attention block and the MLP behind it."""
        return 1 + max((b.layer for b in self.blocks), default=-1)


def find_blocks(
    captured: Captured, registry: Registry, embeddings: tuple[fx.Node, ...]
) -> ModelBlocks:
    """Find the blocks of a model; there are none where nothing looks like one.

    Args:
        captured: the graph to search.
        registry: the op records that say what each op does.
        embeddings: nodes of the graph at which the residual stream starts.
    """
    finder = BlockFinder(registry, stream_of=dict.fromkeys(embeddings, embeddings[0]))
    for node in captured.graph.nodes:
        if node.op == "call_function" and node not in finder.stream_of:
            finder.visit(node)
    last = finder.found[-1].after if finder.found else None
    return ModelBlocks(embeddings, tuple(finder.found), last)


@dataclass
class BlockFinder:
    """Reads a graph once, forward, and collects its blocks in `found`.

    `stream_of` maps a node to the stream value that it is made from without mixing features, and to
    None behind an op that mixes them.
    """

    registry: Registry
    stream_of: dict[fx.Node, fx.Node | None] = field(default_factory=dict)
    ops: dict[fx.Node, Op] = field(default_factory=dict)
    found: list[Block] = field(default_factory=list)

    def visit(self, node: fx.Node) -> None:
        """Record what a node is made from, and a block if the node adds one to the stream."""
        live = self.live(node)
        if not live or not is_floating(node):
            return
        op = self._find_op(node, live)
        if isinstance(op, Stop):
            return
        if op is not None:
            self.ops[node] = op
        origins = {self.stream_of[n] for n in live}
        if node.target is SUM and self._joins(node):
            self.stream_of[node] = node
        elif op is not None and _mixes_features(op):
            self.stream_of[node] = None
        else:
            self.stream_of[node] = origins.pop() if len(origins) == 1 else None

    def live(self, node: fx.Node) -> list[fx.Node]:
        """Return the operands that depend on an embedding."""
        return [n for n in node.all_input_nodes if n in self.stream_of]

    def inside(self, out: fx.Node) -> tuple[list[fx.Node], list[fx.Node]]:
        """Return a block's nodes from its end backward, and the stream values that enter it."""
        walked = closure([out], self.live, stop=lambda n: self.stream_of[n] is not None)
        inside = [n for n in walked if self.stream_of[n] is None]
        return inside, [n for n in walked if self.stream_of[n] is not None]

    def _live_users(self, node: fx.Node) -> list[fx.Node]:
        return [n for n in node.users if n in self.stream_of]

    def _find_op(self, node: fx.Node, live: list[fx.Node]) -> Op | None:
        if getattr(node.target, "_schema", None) is None:
            return None
        arguments = bind(node.target, node.args, node.kwargs)
        entering = operands_of(tuple(arguments), arguments, fx.Node)
        names = frozenset(o.name for o in entering if pick(arguments, o) in set(live))
        return self.registry.find(node.target, arguments, names)

    def _joins(self, node: fx.Node) -> bool:
        """Record a block if a sum adds one to the stream, and tell if it did."""
        terms = [a for a in node.args[:2] if isinstance(a, fx.Node) and a in self.stream_of]
        if len(terms) != 2 or len({_shape(n) for n in (*terms, node)}) != 1:
            return False
        for skip, out in (terms, terms[::-1]):
            if self.stream_of[skip] is not None and self.stream_of[out] is None:
                self.found += self._blocks_of(skip, out, node)
                return True
        return False

    def _blocks_of(self, skip: fx.Node, out: fx.Node, after: fx.Node) -> Iterator[Block]:
        """One block, or two that were added to each other first (parallel attention and MLP)."""
        parts = [a for a in out.args[:2] if isinstance(a, fx.Node)] if out.target is SUM else []
        mixed = [p for p in parts if p in self.stream_of and self.stream_of[p] is None]
        kinds = {self._kind(p) for p in mixed}
        if len(mixed) != 2 or len(kinds) != 2:
            mixed = [out]
        for part in sorted(mixed, key=lambda p: self._kind(p) is BlockKind.MLP):
            yield self._block_at(skip, part, after)

    def _block_at(self, skip: fx.Node, out: fx.Node, after: fx.Node) -> Block:
        inside, entries = self.inside(out)
        kind = self._kind(out)
        reads = self.stream_of[entries[0]] if entries else None
        return Block(
            kind=kind,
            layer=self._layer(kind),
            reads=skip if reads is None or reads is self.stream_of[skip] else reads,
            skip=skip,
            out=out,
            after=after,
            path=common_path(out, inside),
            heads=self._heads(inside) if kind is BlockKind.ATTENTION else None,
            neurons=self._neurons(out) if kind is BlockKind.MLP else None,
        )

    def _kind(self, out: fx.Node) -> BlockKind:
        inside, _ = self.inside(out)
        attends = any(isinstance(self.ops.get(n), (Attention, Softmax)) for n in inside)
        return BlockKind.ATTENTION if attends else BlockKind.MLP

    def _layer(self, kind: BlockKind) -> int:
        attentions = sum(b.kind is BlockKind.ATTENTION for b in self.found)
        if kind is BlockKind.ATTENTION:
            return attentions
        mlps = sum(b.kind is BlockKind.MLP for b in self.found)
        return max(attentions - 1, 0) if attentions else mlps

    def _heads(self, inside: list[fx.Node]) -> Heads | None:
        for node in inside:
            op = self.ops.get(node)
            if isinstance(op, Attention):
                arguments = bind(node.target, node.args, node.kwargs)
                q, k, v = (arguments[n] for n in ("query", "key", "value"))
                return heads_of_fused(q, k, v, node)
            if isinstance(op, Softmax):
                return self._written_out(node)
        return None

    def _written_out(self, softmax: fx.Node) -> Heads | None:
        """Attention in single ops: scores = q k^T, softmax, weights times values."""
        forward = self._path_to_product(softmax, self._live_users)
        backward = self._path_to_product(softmax, self.live)
        if forward is None or backward is None:
            return None
        return heads_of_products(backward[-1], *forward[-2:])

    def _path_to_product(
        self, start: fx.Node, step: Callable[[fx.Node], Sequence[fx.Node]]
    ) -> list[fx.Node] | None:
        """Follow `step` to the nearest product of two live operands; None where the way forks."""
        path = [start]
        while not self._multiplies_two(path[-1]):
            following = step(path[-1])
            if len(following) != 1:
                return None
            path += following
        return path

    def _multiplies_two(self, node: fx.Node) -> bool:
        return isinstance(self.ops.get(node), Product) and len(self.live(node)) == 2

    def _neurons(self, out: fx.Node) -> fx.Node | None:
        """Find the input of the block's last weighted sum, where it still has three axes."""
        node: fx.Node | None = out
        while node is not None and not isinstance(self.ops.get(node), WeightedSum):
            node = self._only_operand(node)
        node = None if node is None else self.live(node)[0]
        while node is not None and value(node).dim() != 3:
            node = self._only_operand(node) if isinstance(self.ops.get(node), Move) else None
        return node if node is not None and self.stream_of[node] is None else None

    def _only_operand(self, node: fx.Node) -> fx.Node | None:
        operands = self.live(node)
        return operands[0] if len(operands) == 1 else None


def common_path(out: fx.Node, inside: Sequence[fx.Node]) -> str:
    """Return the path of the innermost module that holds everything that a block mixes."""
    stacks = [[path for path, _ in module_stack(n)] for n in inside if not is_getitem(n)]
    shared = [path for path in stacks[0] if all(path in s for s in stacks)] if stacks else []
    return shared[-1] if shared else out.name


def _mixes_features(op: Op) -> bool:
    """Elementwise products keep every feature where it is; products of matrices do not."""
    if isinstance(op, Product):
        return not op.elementwise
    return isinstance(op, (Attention, Softmax, WeightedSum))


def _shape(node: fx.Node) -> tuple[str, ...]:
    fake = value(node)
    return tuple(map(str, fake.shape)) if isinstance(fake, Tensor) else ()
