"""In which order the two programs compute their values, given what is kept between them."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence

from torch import fx

from ..graphs.nodes import value
from ..graphs.walk import upstream
from ..propagate.joint_graph import Joint


def inputs_of(joint: Joint) -> list[fx.Node]:
    """The model's inputs, in order."""
    return [n for n in joint.graph.nodes if n.op == "placeholder" and n not in joint.seeds]


def assertions(joint: Joint, relevance: Collection[fx.Node]) -> list[fx.Node]:
    """Run-time checks that capture left in the graph: they have no result."""
    return [
        n
        for n in joint.graph.nodes
        if n.op == "call_function" and value(n) is None and n not in relevance
    ]


def forward_order(joint: Joint, wanted: Sequence[fx.Node]) -> list[fx.Node]:
    """All that `wanted` needs: captured nodes as they came, derived ones after their operands."""
    captured = {copy: i for i, copy in enumerate(joint.copies.values())}
    position = {node: i for i, node in enumerate(joint.graph.nodes)}
    needed = upstream(wanted)
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
    return inputs_of(joint) + [n for n in order if n.op != "placeholder"]


def relevance_order(
    joint: Joint,
    relevance: Collection[fx.Node],
    kept: Sequence[fx.Node],
    results: Sequence[fx.Node],
) -> list[fx.Node]:
    """The rules' ops; what is not kept is computed again right before its first use."""
    arguments = [*joint.seeds, *inputs_of(joint), *kept]
    order = dict.fromkeys(arguments)
    used = upstream(results)
    steps = [n for n in joint.graph.nodes if n in relevance and n in used]
    for wanted in [*steps, *results]:
        stack = [wanted]
        while stack:
            node = stack[-1]
            waiting = [n for n in node.all_input_nodes if n not in order]
            if waiting and node not in order:
                stack += waiting
                continue
            stack.pop()
            order.setdefault(node)
    return list(order)
