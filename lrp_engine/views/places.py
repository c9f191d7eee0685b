"""Choose the places of a model that the explorer shows as layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..capture import Captured
from ..circuits.blocks import Block, find_blocks
from ..graphs.nodes import shape_text, value
from ..method.op import Homogeneous, Op, Pointwise, Selection
from ..plan.plan import Plan
from .layouts import Layout

_MOST = 24  # modules
_BY_HEADS = {(1, 2): Layout.HEADS, (2, 1): Layout.HEADS_BEHIND}  # the axes of heads and positions
_BY_RANK = {2: Layout.FEATURES, 3: Layout.SERIES, 4: Layout.MAP, 5: Layout.FRAMES}


@dataclass(frozen=True)
class Place:
    """A place whose relevance is shown: `source` is its name for an Engine."""

    source: str
    name: str
    group: str
    layout: Layout


def choose_places(plan: Plan) -> list[Place]:
    """Return the inputs, then residual stream, heads and MLPs of a transformer, else modules."""
    passing = {a.node for a in plan.assignments}
    embeddings = tuple(port.node for port in plan.sources)
    blocks = find_blocks(plan.captured, plan.registry, embeddings).blocks
    inner = list(_of_blocks(blocks)) if blocks else list(_of_modules(plan))
    taken = set(embeddings) | {plan.output.node}
    places = [_input_place(port.name, port.node, bool(blocks)) for port in plan.sources]
    for place, node in inner:
        if node in passing and node not in taken:
            taken.add(node)
            places.append(place)
    return [place for place in places if place is not None]


def _input_place(name: str, node: fx.Node, tokens: bool) -> Place | None:
    fake = value(node)
    rank = fake.dim() if isinstance(fake, Tensor) else 0
    looked_up = node.op != "placeholder"
    layout = Layout.TOKENS if rank == 3 and (tokens or looked_up) else _BY_RANK.get(rank)
    return Place(name, name, "input", layout) if layout else None


def _of_blocks(blocks: Sequence[Block]) -> Iterator[tuple[Place, fx.Node]]:
    """Yield heads, MLPs, and the stream behind the last block of each layer."""
    last = {block.layer: block.after for block in blocks}
    for block in blocks:
        found = _block_place(block)
        if found is not None:
            yield found
        if last[block.layer] is block.after and _rank(block.after) == 3:
            name = f"layer {block.layer}"
            yield Place(block.after.name, name, "stream", Layout.TOKENS), block.after


def _block_place(block: Block) -> tuple[Place, fx.Node] | None:
    name = f"{block.kind.value} {block.layer}"
    if block.heads is not None:
        z, axes = block.heads.z.node, block.heads.z.axes
        layout = _BY_HEADS.get((axes.head, axes.position))
        if layout is not None and _rank(z) == 4:
            return Place(z.name, name, "attention", layout), z
    if _rank(block.out) != 3:
        return None
    return Place(block.out.name, name, block.kind.value, Layout.TOKENS), block.out


def _of_modules(plan: Plan) -> Iterator[tuple[Place, fx.Node]]:
    """Yield modules with one result each; of many, those of fewest dots in their paths.

    What only an activation reads is left out: relevance is the same behind it.
    """
    ops = {a.node: a.op for a in plan.assignments}
    passing = {node for node in ops if not _only_activated(node, ops)}
    order = {node: i for i, node in enumerate(plan.captured.graph.nodes)}
    found = {
        nodes[0]: path
        for path, nodes in plan.captured.modules.items()
        if path and len(nodes) == 1 and nodes[0] in passing and _rank(nodes[0]) in _BY_RANK
    }
    depth = max((path.count(".") for path in found.values()), default=0)
    while depth and sum(path.count(".") <= depth for path in found.values()) > _MOST:
        depth -= 1
    chosen = sorted((n for n, p in found.items() if p.count(".") <= depth), key=order.__getitem__)
    step = -(-len(chosen) // _MOST) or 1
    for node in chosen[::-1][::step][::-1]:
        path = found[node]
        name = path if path.strip("0123456789.") else f"module {path}"
        yield Place(path, name, "layers", _BY_RANK[_rank(node)]), node


def _only_activated(node: fx.Node, ops: Mapping[fx.Node, Op]) -> bool:
    """Return whether all that reads a value keeps its places: one entry in, one out."""
    users = [user for user in node.users if user in ops]
    return bool(users) and all(
        isinstance(ops[user], (Pointwise, Homogeneous, Selection))
        and shape_text(value(user)) == shape_text(value(node))
        for user in users
    )


def _rank(node: fx.Node) -> int:
    fake = value(node)
    return fake.dim() if isinstance(fake, Tensor) and fake.is_floating_point() else 0


def find_reads(captured: Captured, nodes: Sequence[fx.Node]) -> list[tuple[int, ...]]:
    """Return, for each node, which of `nodes` it is computed from with none of them between."""
    place = {node: i for i, node in enumerate(nodes)}
    seen: dict[fx.Node, frozenset[int]] = {}
    for node in captured.graph.nodes:
        from_here = (frozenset([place[n]]) if n in place else seen[n] for n in node.all_input_nodes)
        seen[node] = frozenset().union(*from_here)
    return [tuple(sorted(seen[node])) for node in nodes]


def shorten(place: str) -> str:
    """Return a text that names a source line without the folders above its package.

    >>> shorten("h.0 (Block), /home/me/lib/python3.11/site-packages/transformers/gpt2.py:211")
    'h.0 (Block), transformers/gpt2.py:211'
    >>> shorten("/home/me/lib/python3.11/site-packages/transformers/models/gpt2/modeling.py:211")
    'transformers/models/gpt2/modeling.py:211'
    >>> shorten("/home/me/work/nets/small.py:3")
    'nets/small.py:3'
    """
    inside = re.sub(r"/\S*/site-packages/", "", place)
    return re.sub(r"(?<!\S)/\S*/([^/\s]+/[^/\s]+:\d+)", r"\1", inside)


def default_words(ids: Tensor | None, count: int) -> tuple[str, ...]:
    """Return a text per position where nobody gave any: the token ids, else numbers from 0."""
    if ids is not None and ids.dtype in (torch.int64, torch.int32) and ids.numel() == count:
        return tuple(str(i) for i in ids.flatten().tolist())
    return tuple(str(i) for i in range(count))
