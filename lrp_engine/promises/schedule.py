"""Order the ops of both programs, given what is kept between them."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence

from torch import fx

from ..graphs.nodes import value
from ..graphs.randomness import is_random
from ..graphs.walk import upstream
from ..propagate.joint_graph import JointGraph


def list_inputs(joint: JointGraph) -> list[fx.Node]:
    """Return the model's inputs, in order."""
    return [n for n in joint.graph.nodes if n.op == "placeholder" and n not in joint.seeds]


def find_assertions(joint: JointGraph, relevance: Collection[fx.Node]) -> list[fx.Node]:
    """Return the run-time checks that capture left in the graph: ops without a result."""
    return [
        n
        for n in joint.graph.nodes
        if n.op == "call_function" and value(n) is None and n not in relevance
    ]


def order_forward_ops(joint: JointGraph, wanted: Sequence[fx.Node]) -> list[fx.Node]:
    """Return all nodes that `wanted` needs, in the order in which to compute them.

    Captured nodes stay in the model's order; derived ones follow their operands at once. Random
    draws are always among them: a draw that is left out would change all later ones.
    """
    captured = {copy: i for i, copy in enumerate(dict.fromkeys(joint.forward_nodes))}
    position = {node: i for i, node in enumerate(joint.graph.nodes)}
    needed = upstream([*wanted, *(n for n in captured if n.op == "call_function" and is_random(n))])
    waiting = {n: len(set(n.all_input_nodes)) for n in needed}
    rank = {n: (captured.get(n, 0), 0) for n in needed if not waiting[n]}
    ready = [(*rank[n], position[n], n) for n in rank]
    heapq.heapify(ready)
    order = []
    while ready:
        *_, node = heapq.heappop(ready)
        order.append(node)
        for user in set(node.users) & needed:
            waiting[user] -= 1
            if not waiting[user]:
                last = max(rank[n] for n in user.all_input_nodes)
                rank[user] = (captured[user], 0) if user in captured else (last[0], 1)
                heapq.heappush(ready, (*rank[user], position[user], user))
    return list_inputs(joint) + [n for n in order if n.op != "placeholder"]


def order_relevance_ops(
    joint: JointGraph,
    relevance: Collection[fx.Node],
    kept: Sequence[fx.Node],
    results: Sequence[fx.Node],
) -> list[fx.Node]:
    """Return the arguments and ops of the relevance program, in order.

    What is not kept is computed again right before its first use.
    """
    order = dict.fromkeys([*joint.seeds, *list_inputs(joint), *kept])
    used = upstream(results)
    steps = [n for n in joint.graph.nodes if n in relevance and n in used]
    for wanted in [*steps, *results]:
        _append_with_operands(wanted, order)
    return list(order)


def _append_with_operands(wanted: fx.Node, order: dict[fx.Node, None]) -> None:
    # A loop, since a chain of recomputed values may be longer than Python's recursion limit.
    stack = [wanted]
    while stack:
        node = stack[-1]
        waiting = [n for n in node.all_input_nodes if n not in order]
        if waiting and node not in order:
            stack += waiting
            continue
        stack.pop()
        order.setdefault(node)
