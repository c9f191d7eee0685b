"""Joint graph + cut -> two straight-line programs that meet only at the promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, fx
from torch.fx.graph import CodeGen

from ..capture import Captured
from ..graphs.aten import ANY_LAYOUT
from ..promises.costs import Costs
from ..promises.memory import Timeline
from ..promises.policy import PolicyOrBudget
from ..promises.promise import Promises, list_promises
from ..promises.resolve import PromiseCut, Resolver
from ..promises.schedule import (
    find_assertions,
    list_inputs,
    order_forward_ops,
    order_relevance_ops,
)
from ..propagate.joint_graph import JointGraph
from .batched import loosened

Run = Callable[..., Sequence[Any]]


@dataclass(frozen=True)
class Program:
    """`forward(*inputs)` gives outputs, then kept values; `relevance` takes a list that starts
    with the seed, then the inputs, then the kept values, and gives the results.

    `relevance` empties its list, so that every kept value is freed after its last use.
    """

    forward: fx.GraphModule
    relevance: fx.GraphModule
    promises: Promises
    outputs: int
    memory: Timeline
    foretell: Callable[[Mapping[Any, int]], Timeline]  # memory at other sizes, by symbol

    @property
    def kept_bytes(self) -> int:
        """What the kept values occupy at the example's sizes."""
        return self.promises.kept_bytes

    @cached_property
    def batched(self) -> fx.GraphModule:
        """The relevance program in a form that torch.vmap can run for many seeds."""
        return loosened(self.relevance)

    def print_readable(self) -> str:
        """Prints both programs as Python code, and returns them."""
        text = "\n".join(
            f"# {title}\n{module.code}"
            for title, module in [("forward", self.forward), ("relevance", self.relevance)]
        )
        print(text)
        return text


def build(
    joint: JointGraph,
    tensors: Mapping[str, Tensor],
    outputs: Sequence[Any],
    results: Sequence[fx.Node],
    policy: PolicyOrBudget,
    sizes: Mapping[Any, int] | None = None,
    *,
    fused: bool = False,
) -> Program:
    """Writes the two programs. `outputs` is what the forward program returns (nodes, and values
    that are none), `results` the relevance wanted.

    `sizes` (by symbol) are those that bytes and work are counted at. `fused`: the programs will be
    compiled. Raises PromiseError if the policy is a budget that is too small.
    """
    nodes = [n for n in outputs if isinstance(n, fx.Node)]
    resolver = Resolver(joint, nodes, results, Costs(sizes or {}), fused)
    cut = resolver.resolve(policy)
    checks = find_assertions(joint, cut.relevance)
    forward = _forward_graph(joint, outputs, cut.kept, checks)
    relevance = _relevance_graph(joint, cut, results)
    return Program(
        forward=fx.GraphModule(_held(tensors, forward), forward),
        relevance=fx.GraphModule(_held(tensors, relevance), relevance),
        promises=list_promises(joint, cut, resolver.costs),
        outputs=len(outputs),
        memory=cut.memory,
        foretell=lambda other: resolver.predict_memory(cut.kept, Costs(other)),
    )


def forward_alone(captured: Captured) -> fx.GraphModule:
    """The model as a program that gives its flat outputs and keeps nothing."""
    joint = JointGraph.of(captured)
    leaves: Any = captured.graph.output_node().args[0]
    outputs = [joint.forward(n) if isinstance(n, fx.Node) else n for n in leaves]
    graph = _forward_graph(joint, outputs, (), find_assertions(joint, ()))
    return fx.GraphModule(_held(captured.tensors, graph), graph)


def _held(tensors: Mapping[str, Tensor], graph: fx.Graph) -> dict[str, Tensor]:
    used = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    return {name: tensors[name] for name in used}


def _forward_graph(
    joint: JointGraph, results: Sequence[Any], kept: Sequence[fx.Node], checks: Sequence[fx.Node]
) -> fx.Graph:
    """The model's own ops in their own order, with what is kept computed as early as possible."""
    wanted = [n for n in results if isinstance(n, fx.Node)]
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in order_forward_ops(joint, [*wanted, *kept, *checks]):
        copies[node] = _loosely(graph, node, copies)
    graph.output(
        tuple(copies[n] if isinstance(n, fx.Node) else n for n in results)
        + tuple(copies[n] for n in kept)
    )
    graph.lint()
    return graph


def _relevance_graph(joint: JointGraph, cut: PromiseCut, results: Sequence[fx.Node]) -> fx.Graph:
    """The rules' ops; what is not kept is computed again right before its first use."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.set_codegen(Boxed())
    arguments = {*joint.seeds, *list_inputs(joint), *cut.kept}
    for node in order_relevance_ops(joint, cut.relevance, cut.kept, results):
        if node in arguments:
            copies[node] = graph.placeholder(node.name)
            copies[node].meta["val"] = node.meta.get("val")
        else:
            copies[node] = _loosely(graph, node, copies)
    graph.output(tuple(copies[node] for node in results))
    graph.lint()
    return graph


def _loosely(graph: fx.Graph, node: fx.Node, copies: Mapping[fx.Node, fx.Node]) -> fx.Node:
    """A call, so written that its operands may lie in memory otherwise than at capture."""
    copy = graph.node_copy(node, lambda n: copies[n])
    target: Any = node.target
    copy.target = ANY_LAYOUT.get(target, target)
    return copy


class Boxed(CodeGen):
    """Generates `forward(self, values)`, which takes its arguments out of a list and clears it."""

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str, **options: Any) -> str:
        names = [v.split(":")[0].split("=")[0].strip() for v in free_vars if v != "self"]
        unpack = f"\n    {', '.join(names)}, = values\n    values.clear()" if names else ""
        return f"def {self._func_name}(self, values){maybe_return_annotation}:{unpack}"
