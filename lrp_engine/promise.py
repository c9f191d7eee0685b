"""Promises: values of the forward pass that rules asked for, and how each one is honoured.

Resolving touches no tensor. The joint graph falls into what depends on the seed (the relevance
program) and what does not; promises are the values that cross. A policy chooses where the cut
runs: at the crossing itself, or further up where fewer bytes have to be kept.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

import networkx as nx
import torch
from torch import Tensor, fx

from .errors import PromiseError
from .graph import after, nbytes, value
from .joint import Joint


class Policy(Enum):
    """What to keep between the forward pass and the relevance program."""

    KEEP = "keep"
    BALANCED = "balanced"


class Fate(Enum):
    """How a promise is honoured."""

    KEPT = "kept"
    RECOMPUTED = "recomputed"
    DERIVED = "kept as a value derived from it"
    FREE = "free: an input of the model"


@dataclass(frozen=True)
class Promise:
    """One value that rules read: who made it, who asked, its bytes at the example's sizes."""

    value: str
    made_by: str
    asked_by: tuple[str, ...]
    bytes: int
    fate: Fate


@dataclass(frozen=True)
class Cut:
    """The resolver's decision: values that cross, and values computed again behind the cut."""

    relevance: frozenset[fx.Node]
    kept: tuple[fx.Node, ...]
    recomputed: frozenset[fx.Node]

    def bytes(self) -> int:
        """What the kept values occupy at the example's sizes."""
        return sum(nbytes(node) for node in self.kept if node.op != "placeholder")


def resolve(joint: Joint, wanted: Collection[fx.Node], policy: Policy) -> Cut:
    """Decides for every value that the relevance program reads: keep it, or recompute it.

    `wanted` are the relevance program's results. Raises PromiseError if a read value is neither
    a tensor nor a size.
    """
    relevance = set(after(set(joint.seeds))) | set(joint.seeds)
    crossing = _crossing(joint.graph, relevance, wanted)
    fixed = _constant(joint.graph, relevance)
    asked = [node for node in crossing if node not in fixed]
    kept = _minimum_cut(asked, fixed) if policy is Policy.BALANCED else _as_they_are(asked)
    order = {node: i for i, node in enumerate(joint.graph.nodes)}
    recomputed = _behind(crossing, kept)
    for node in kept:
        _refuse_unkeepable(node)
    return Cut(frozenset(relevance), tuple(sorted(kept, key=order.__getitem__)), recomputed)


def promises(joint: Joint, cut: Cut) -> tuple[Promise, ...]:
    """The table of promises made by the rules, for reading."""
    rows = []
    for node, asked in joint.reads.items():
        node = joint.shared.get(node, node)
        if node in cut.relevance or node.op == "get_attr":
            continue
        asking = tuple(dict.fromkeys(n.name for n in asked))
        made_by = "input" if node.op == "placeholder" else str(node.target)
        rows.append(Promise(node.name, made_by, asking, nbytes(node), _fate(node, cut)))
    return tuple(rows)


def _fate(node: fx.Node, cut: Cut) -> Fate:
    if node.op == "placeholder":
        return Fate.FREE
    if node in cut.kept:
        return Fate.KEPT
    return Fate.RECOMPUTED if node in cut.recomputed else Fate.DERIVED


def _crossing(
    graph: fx.Graph, relevance: set[fx.Node], wanted: Collection[fx.Node]
) -> list[fx.Node]:
    """Forward values with a reader in the relevance program."""
    results = set(wanted)
    return [
        node
        for node in graph.nodes
        if node not in relevance
        and (node in results or any(user in relevance for user in node.users))
    ]


def _constant(graph: fx.Graph, relevance: set[fx.Node]) -> set[fx.Node]:
    """Parameters and what depends on them alone: always there, never kept."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "get_attr":
            found.add(node)
        elif node.op == "call_function" and node not in relevance:
            inputs = node.all_input_nodes
            if all(operand in found for operand in inputs):
                found.add(node)
    return found


def _as_they_are(asked: Iterable[fx.Node]) -> set[fx.Node]:
    """Keeps exactly what is read; one result of several stands for the lot."""
    return set(asked)


def _behind(crossing: Iterable[fx.Node], kept: set[fx.Node]) -> frozenset[fx.Node]:
    """Everything that must be computed again, given what is kept."""
    found: set[fx.Node] = set()
    stack = [node for node in crossing if node not in kept]
    while stack:
        node = stack.pop()
        if node not in found and node.op != "placeholder":
            found.add(node)
            stack += [operand for operand in node.all_input_nodes if operand not in kept]
    return frozenset(found)


def is_cheap(node: fx.Node) -> bool:
    """Views, entrywise ops, casts and row statistics: not worth many bytes."""
    if node.op != "call_function":
        return False
    if node.target is operator.getitem or not isinstance(node.target, torch._ops.OpOverload):
        return True
    tags = set(node.target.tags)
    cheap = {torch.Tag.pointwise, torch.Tag.reduction}
    if torch.Tag.nondeterministic_seeded in tags:
        return False
    return bool(cheap & tags) or node.target.is_view or _only_copies(node)


def _only_copies(node: fx.Node) -> bool:
    """Casts and copies: as many entries as the one operand."""
    tensors = [n for n in node.all_input_nodes if isinstance(value(n), Tensor)]
    return len(tensors) == 1 and "copy" in node.target._schema.name  # type: ignore[union-attr]


def _minimum_cut(asked: list[fx.Node], fixed: set[fx.Node]) -> set[fx.Node]:
    """The cheapest set of values from which everything asked for can be computed again."""
    flow = nx.DiGraph()
    region, free = _recomputable(asked, fixed)
    for node in region:
        keep = _keeping_cost(node)
        flow.add_edge((node, "in"), (node, "out"), **({} if keep is None else {"capacity": keep}))
        if not is_cheap(node):
            flow.add_edge("forward", (node, "in"))
        for operand in node.all_input_nodes:
            if operand in region:
                flow.add_edge((operand, "out"), (node, "in"))
    for node in asked:
        if node in region:
            flow.add_edge((node, "out"), "relevance")
    return free.intersection(asked) | _cut_nodes(flow)


def _recomputable(asked: list[fx.Node], fixed: set[fx.Node]) -> tuple[set[fx.Node], set[fx.Node]]:
    """Cheap ops above the crossing, the dear ones they start from; and inputs, which are free."""
    region: set[fx.Node] = set()
    free: set[fx.Node] = set()
    stack = list(asked)
    while stack:
        node = stack.pop()
        if node in region or node in fixed or node in free:
            continue
        if node.op == "placeholder":
            free.add(node)
            continue
        region.add(node)
        if is_cheap(node):
            stack += node.all_input_nodes
    return region, free


def _cut_nodes(flow: nx.DiGraph) -> set[fx.Node]:
    """Minimum cut, piece by piece: dear ops separate the graph into many small ones."""
    inner = flow.subgraph(n for n in flow if isinstance(n, tuple))
    kept: set[fx.Node] = set()
    for piece in nx.weakly_connected_components(inner):
        part = flow.subgraph({*piece, "forward", "relevance"})
        if (
            "forward" not in part
            or "relevance" not in part
            or not nx.has_path(part, "forward", "relevance")
        ):
            continue
        _, (left, right) = nx.minimum_cut(part, "forward", "relevance")
        kept |= {n for n, side in left - {"forward"} if side == "in" and (n, "out") in right}
    return kept


def _keeping_cost(node: fx.Node) -> int | None:
    """Bytes; None for what cannot be kept (several results at once)."""
    fake = value(node)
    if isinstance(fake, Tensor):
        return max(1, nbytes(node))
    return 1 if isinstance(fake, (torch.SymInt, torch.SymFloat, int, float)) else None


def _refuse_unkeepable(node: fx.Node) -> None:
    if _keeping_cost(node) is None:
        raise PromiseError(f"the value of {node.name} ({node.target}) cannot be kept")
