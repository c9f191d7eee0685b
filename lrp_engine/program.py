"""Joint graph + cut -> two straight-line programs that meet only at the promises."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.graph import CodeGen

from .graph import value
from .joint import Joint
from .promise import Cut, Policy, Promise, promises, resolve
from .template import upstream

Run = Callable[..., Sequence[Any]]


@dataclass(frozen=True)
class Program:
    """`forward(*inputs)` gives outputs, then kept values; `relevance` takes a list that starts
    with the seed, then the inputs, then the kept values, and gives the results.

    `relevance` empties its list, so that every kept value is freed after its last use.
    """

    forward: fx.GraphModule
    relevance: fx.GraphModule
    promises: tuple[Promise, ...]
    outputs: int
    kept_bytes: int

    def print_readable(self) -> str:
        """Prints both programs as Python code, and returns them."""
        text = "\n".join(
            f"# {title}\n{module.code}"
            for title, module in [("forward", self.forward), ("relevance", self.relevance)]
        )
        print(text)
        return text

    def compiled(self, mode: str | None = None) -> tuple[Run, Run]:
        """Both programs through torch.compile, without graph breaks.

        Modes that use CUDA graphs write every run into the same memory; what leaves the programs
        is copied there.
        """
        plain = fx.GraphModule(self.relevance, _with_codegen(self.relevance.graph, CodeGen()))
        forward = torch.compile(self.forward, fullgraph=True, mode=mode)
        relevance = torch.compile(plain, fullgraph=True, mode=mode)
        replayed = mode is not None and "no-cudagraphs" not in mode and torch.cuda.is_available()

        def first(*inputs: Any) -> Sequence[Any]:
            if not replayed:
                return forward(*inputs)
            torch.compiler.cudagraph_mark_step_begin()
            values = forward(*inputs)
            return (*_copies(values[: self.outputs]), *values[self.outputs :])

        def second(values: list[Any]) -> Sequence[Any]:
            given = tuple(values)
            values.clear()
            results = relevance(*given)
            return _copies(results) if replayed else results

        return first, second


def _copies(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(v.clone() if isinstance(v, Tensor) else v for v in values)


def build(
    joint: Joint,
    tensors: Mapping[str, Tensor],
    outputs: Sequence[Any],
    results: Sequence[fx.Node],
    policy: Policy,
) -> Program:
    """Writes the two programs. `outputs` are the model's leaves, `results` the relevance wanted."""
    cut = resolve(joint, results, policy)
    forward, kept = _forward_graph(joint, cut, outputs)
    relevance = _relevance_graph(joint, cut, kept, results)
    return Program(
        forward=fx.GraphModule(_held(tensors, forward), forward),
        relevance=fx.GraphModule(_held(tensors, relevance), relevance),
        promises=promises(joint, cut),
        outputs=len(outputs),
        kept_bytes=cut.bytes(),
    )


def _held(tensors: Mapping[str, Tensor], graph: fx.Graph) -> dict[str, Tensor]:
    used = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    return {name: tensors[name] for name in used}


def _forward_graph(
    joint: Joint, cut: Cut, outputs: Sequence[Any]
) -> tuple[fx.Graph, list[fx.Node]]:
    """The model's own ops in their own order, with what is kept computed as early as possible."""
    results = [joint.forward(n) if isinstance(n, fx.Node) else n for n in outputs]
    kept = [node for node in cut.kept if node.op != "placeholder"]
    wanted = [n for n in results if isinstance(n, fx.Node)] + kept + _assertions(joint, cut)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in _in_order(joint, wanted):
        copies[node] = graph.node_copy(node, lambda n: copies[n])
    graph.output(
        tuple(copies[n] if isinstance(n, fx.Node) else n for n in results)
        + tuple(copies[n] for n in kept)
    )
    graph.lint()
    return graph, kept


def _assertions(joint: Joint, cut: Cut) -> list[fx.Node]:
    """Run-time checks that capture left in the graph: they have no result."""
    return [
        n
        for n in joint.graph.nodes
        if n.op == "call_function" and value(n) is None and n not in cut.relevance
    ]


def _in_order(joint: Joint, wanted: Sequence[fx.Node]) -> list[fx.Node]:
    """All that `wanted` needs: captured nodes as they came, derived ones after their operands."""
    captured = {copy: i for i, copy in enumerate(joint.copies.values())}
    position = {node: i for i, node in enumerate(joint.graph.nodes)}
    needed = upstream(wanted)
    inputs = [n for n in joint.graph.nodes if n.op == "placeholder" and n not in joint.seeds]
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
    return inputs + [n for n in order if n.op != "placeholder"]


def _relevance_graph(
    joint: Joint, cut: Cut, kept: Sequence[fx.Node], results: Sequence[fx.Node]
) -> fx.Graph:
    """The rules' ops; what is not kept is computed again right before its first use."""
    graph, copies = fx.Graph(), {}
    graph.set_codegen(Boxed())
    inputs = [n for n in joint.graph.nodes if n.op == "placeholder" and n not in joint.seeds]
    for node in [*joint.seeds, *inputs, *kept]:
        copies[node] = graph.placeholder(node.name)
        copies[node].meta["val"] = node.meta.get("val")

    def need(node: fx.Node) -> fx.Node:
        stack = [node]
        while stack:
            top = stack[-1]
            waiting = [n for n in top.all_input_nodes if n not in copies]
            if waiting and top not in copies:
                stack += waiting
                continue
            stack.pop()
            if top not in copies:
                copies[top] = graph.node_copy(top, lambda n: copies[n])
        return copies[node]

    used = upstream(results)
    for node in joint.graph.nodes:
        if node in cut.relevance and node in used:
            need(node)
    graph.output(tuple(need(node) for node in results))
    graph.lint()
    return graph


def _with_codegen(graph: fx.Graph, codegen: CodeGen) -> fx.Graph:
    copy = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    result = copy.graph_copy(graph, values)
    copy.output(result)
    copy.set_codegen(codegen)
    return copy


class Boxed(CodeGen):
    """Generates `forward(self, values)`, which takes its arguments out of a list and clears it."""

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str, **options: Any) -> str:
        names = [v.split(":")[0].split("=")[0].strip() for v in free_vars if v != "self"]
        unpack = f"\n    {', '.join(names)}, = values\n    values.clear()" if names else ""
        return f"def {self._func_name}(self, values){maybe_return_annotation}:{unpack}"
