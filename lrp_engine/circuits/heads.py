"""Find the query, key, value and result of an attention, and the axes that they have.

Models lay heads out in several ways: (batch, head, position, feature), keys with the last two axes
exchanged, or (batch, position, head, feature). A tensor of heads is therefore a node together with
the place of its axes, and nothing in the graph is moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..graphs.aten import EINSUM
from ..graphs.nodes import value


@dataclass(frozen=True)
class HeadAxes:
    """The axes of heads and positions in a tensor of four axes; axis 0 is the batch."""

    head: int = 1
    position: int = 2

    @property
    def feature(self) -> int:
        """The axis that is left."""
        return 6 - self.head - self.position

    def arrange(self, x: Tensor) -> Tensor:
        """Return a view of a tensor as (batch, head, position, feature)."""
        return x.permute(0, self.head, self.position, self.feature)

    def count_heads(self, x: Tensor) -> int:
        """Return how many heads a tensor of these axes has."""
        return int(x.shape[self.head])

    def isolate_heads(self, c: Tensor) -> Tensor:
        """Copy a tensor once per head, keeping that head alone.

        Args:
            c: a tensor of these axes.

        Returns:
            (head, *shape of c): entry h holds head h and zeros.
        """
        count = self.count_heads(c)
        shape = [count, *([1] * c.dim())]
        shape[1 + self.head] = count
        return c.unsqueeze(0) * torch.eye(count, dtype=c.dtype, device=c.device).view(shape)

    def join_heads(self, stacked: Tensor) -> Tensor:
        """Take head h of copy h: (head * batch, ...) of these axes -> (batch, ...)."""
        heads = self.count_heads(stacked)
        copies = stacked.chunk(heads)
        own = [copy.select(self.head, h) for h, copy in enumerate(copies)]
        return torch.stack(own, self.head)


@dataclass(frozen=True)
class HeadTensor:
    """A value of an attention with one slice for each head."""

    node: fx.Node
    axes: HeadAxes = HeadAxes()

    @property
    def heads(self) -> int:
        """The number of heads."""
        return self.axes.count_heads(value(self.node))


@dataclass(frozen=True)
class Heads:
    """The tensors of one attention."""

    query: HeadTensor
    key: HeadTensor
    value: HeadTensor
    z: HeadTensor

    @property
    def readers(self) -> tuple[HeadTensor, HeadTensor, HeadTensor]:
        """Query, key and value, which read the stream."""
        return (self.query, self.key, self.value)


def heads_of_fused(q: fx.Node, k: fx.Node, v: fx.Node, z: fx.Node) -> Heads | None:
    """Return the heads of an attention in one op, if they have an axis of their own."""
    return _apart(*map(HeadTensor, (q, k, v, z)))


def heads_of_products(scores: fx.Node, weights: fx.Node, z: fx.Node) -> Heads | None:
    """Return the heads of an attention in single ops, if they have an axis of their own.

    Args:
        scores: the product of queries and keys.
        weights: the operand of `z` that is made of the scores.
        z: the product of weights and values.
    """
    ask = _scores_by_letters if scores.target is EINSUM else _scores_by_matmul
    give = _result_by_letters if z.target is EINSUM else _result_by_matmul
    asked, given = ask(scores), give(z, weights)
    return _apart(*asked, *given) if asked and given else None


_Pair = tuple[HeadTensor, HeadTensor]


def _scores_by_matmul(scores: fx.Node) -> _Pair | None:
    operands = [n for n in scores.args[:2] if isinstance(n, fx.Node)]
    if len(operands) != 2:
        return None
    query, key = operands
    return HeadTensor(query), HeadTensor(key, HeadAxes(head=1, position=3))


def _result_by_matmul(z: fx.Node, weights: fx.Node) -> _Pair | None:
    if len(z.args) < 2 or z.args[0] is not weights or not isinstance(z.args[1], fx.Node):
        return None
    return HeadTensor(z.args[1]), HeadTensor(z)


def _scores_by_letters(scores: fx.Node) -> _Pair | None:
    """Read an einsum such as bqhf,bkhf->bhqk."""
    letters = _Letters.of(scores)
    if letters is None:
        return None
    (query, q), (key, k) = letters.operands
    asks, answers = set(q) & set(letters.out) - set(k), set(k) & set(letters.out) - set(q)
    shared = [x for x in letters.out if x in q and x in k]
    return _tensors([(query, q, asks), (key, k, answers)], shared)


def _result_by_letters(z: fx.Node, weights: fx.Node) -> _Pair | None:
    """Read an einsum such as bkhf,bhqk->bqhf."""
    letters = _Letters.of(z)
    if letters is None:
        return None
    pattern = next((text for node, text in letters.operands if node is weights), "")
    given = [(node, text) for node, text in letters.operands if node is not weights]
    if not pattern or len(given) != 1:
        return None
    ((values, v),) = given
    summed, asks = set(pattern) & set(v) - set(letters.out), set(pattern) - set(v)
    shared = [x for x in letters.out if x in v and x in pattern]
    return _tensors([(values, v, summed), (z, letters.out, asks)], shared)


def _tensors(
    places: list[tuple[fx.Node, str, set[str]]], shared: list[str]
) -> tuple[HeadTensor, HeadTensor] | None:
    """Find the axes of two tensors: of their batch and heads, which they share, and positions."""
    found = []
    for node, text, position in places:
        heads = [x for x in shared if text.find(x) > 0]
        if len(position) != 1 or len(heads) != 1 or text[0] not in shared or len(text) != 4:
            return None
        axes = HeadAxes(text.index(heads[0]), text.index(next(iter(position))))
        found.append(HeadTensor(node, axes))
    one, other = found
    return one, other


@dataclass(frozen=True)
class _Letters:
    """The letters of an einsum of two operands, each letter once per operand."""

    operands: tuple[tuple[fx.Node, str], tuple[fx.Node, str]]
    out: str

    @classmethod
    def of(cls, node: fx.Node) -> _Letters | None:
        equation, tensors = node.args[:2]
        sides = str(equation).replace(" ", "").split("->")
        texts = sides[0].split(",")
        if len(sides) != 2 or len(texts) != 2 or not all(map(_plain, (*texts, sides[1]))):
            return None
        assert isinstance(tensors, (list, tuple))
        one, other = (n for n in tensors if isinstance(n, fx.Node))
        return cls(((one, texts[0]), (other, texts[1])), sides[1])


def _plain(text: str) -> bool:
    return text.isalpha() and len(set(text)) == len(text)


def _apart(q: HeadTensor, k: HeadTensor, v: HeadTensor, z: HeadTensor) -> Heads | None:
    """Return the heads only where they have an axis of their own, and are equally many."""
    fakes = [value(part.node) for part in (q, k, v, z)]
    if not all(isinstance(fake, Tensor) and fake.dim() == 4 for fake in fakes):
        return None
    return Heads(q, k, v, z)
