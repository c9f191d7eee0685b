"""Find the steps of recurrences in a graph: what stands between `run_steps` and `end_steps`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import fx

from .aten import END_STEPS, RUN_STEPS
from .nodes import is_getitem, part_of
from .schema import bind
from .walk import downstream, upstream

LOOP_ENDS = {RUN_STEPS, END_STEPS}


@dataclass(frozen=True)
class Loop:
    """The step of one recurrence, written once for all steps.

    `start` gives the states `before` each step, `end` takes those `after` it; of both there is one
    node per state. `initial` are the states before the first step. `body` holds the ops that
    depend on a state, in order, `each` all that differs from step to step. With `reverse`, the
    last step comes first.
    """

    start: fx.Node
    end: fx.Node
    before: tuple[fx.Node, ...]
    after: tuple[fx.Node, ...]
    initial: tuple[fx.Node, ...]
    body: tuple[fx.Node, ...]
    each: frozenset[fx.Node]
    reverse: bool


def find_loops(graph: fx.Graph) -> tuple[Loop, ...]:
    """Return the loops of a graph in the order of their ends."""
    return tuple(map(_loop, graph.find_nodes(op="call_function", target=END_STEPS)))


def is_loop_end(node: fx.Node) -> bool:
    """Return whether a node is the start or the end of a loop: relevance passes it unchanged."""
    return node.target in LOOP_ENDS


def _loop(end: fx.Node) -> Loop:
    ends = bind(end.target, end.args, end.kwargs)
    before, after = tuple(ends["before"]), tuple(ends["after"])
    start = next(part_of(node)[0] for node in before if is_getitem(node))
    given = bind(start.target, start.args, start.kwargs)
    needed = upstream(after)
    each = set(downstream([*given["each"], *before])) & needed
    dependent = set(downstream(before)) & needed
    return Loop(
        start=start,
        end=end,
        before=before,
        after=after,
        initial=tuple(given["states"]),
        body=tuple(_in_order(dependent, end.graph)),
        each=frozenset({*each, *given["each"], *before}),
        reverse=bool(given["reverse"]),
    )


def _in_order(nodes: set[fx.Node], graph: fx.Graph) -> Iterable[fx.Node]:
    return (node for node in graph.nodes if node in nodes)
