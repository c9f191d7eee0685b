"""Write two straight-line programs of a joint graph, which meet only at the promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, fx
from torch.fx.graph import CodeGen

from ..capture import Captured
from ..graphs.aten import RESHAPE_FOR_VIEW
from ..graphs.modules import module_of
from ..graphs.tracing_lock import once
from ..promises.costs import Costs, SymbolSizes
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
from .batched import relax_views

ProgramFunction: TypeAlias = Callable[..., Sequence[Any]]
"""A program that can be run: tensors and sizes in, tensors, sizes and plain values out."""


@dataclass(frozen=True)
class Program:
    """The forward and the relevance program of one plan.

    `forward(*inputs)` returns `outputs` outputs, then the kept values. `relevance(values)` takes a
    list of the seed, the inputs and the kept values, and returns the results. It empties its list,
    so that every kept value is freed after its last use. `memory` is the predicted memory at the
    example's sizes, `predict_memory(sizes)` that at other sizes, by symbol.
    """

    forward: fx.GraphModule
    relevance: fx.GraphModule
    promises: Promises
    outputs: int
    memory: Timeline
    predict_memory: Callable[[SymbolSizes], Timeline]

    @property
    def kept_bytes(self) -> int:
        """Bytes of the kept values at the example's sizes."""
        return self.promises.kept_bytes

    @once
    def batched(self) -> fx.GraphModule:
        """The relevance program in a form that torch.vmap can run for many seeds."""
        return relax_views(self.relevance)

    def print_readable(self) -> str:
        """Print both programs as Python code, and return the text."""
        text = "\n".join(
            f"# {title}\n{module.code}"
            for title, module in [("forward", self.forward), ("relevance", self.relevance)]
        )
        print(text)
        return text


def build_program(
    joint: JointGraph,
    tensors: Mapping[str, Tensor],
    outputs: Sequence[fx.node.Argument],
    results: Sequence[fx.Node],
    policy: PolicyOrBudget,
    sizes: SymbolSizes | None = None,
    *,
    fused: bool = False,
) -> Program:
    """Write the two programs of a joint graph.

    Args:
        joint: The forward graph and, behind it, what the rules wrote.
        tensors: Parameters, buffers and constants by name.
        outputs: What the forward program returns: nodes, and plain values.
        results: The relevance wanted.
        policy: What to keep between the programs.
        sizes: Sizes by symbol at which bytes and work are counted; by default the example's.
        fused: The programs will be compiled.

    Raises:
        PromiseError: the policy is a budget that is too small.
    """
    nodes = [n for n in outputs if isinstance(n, fx.Node)]
    resolver = Resolver(joint, nodes, results, Costs(sizes or {}), fused)
    cut = resolver.resolve(policy)
    checks = find_assertions(joint, cut.relevance)
    return Program(
        forward=module_of(tensors, _write_forward(joint, outputs, cut.kept, checks)),
        relevance=module_of(tensors, _write_relevance(joint, cut, results)),
        promises=list_promises(joint, cut, resolver.costs),
        outputs=len(outputs),
        memory=cut.memory,
        predict_memory=lambda other: resolver.predict_memory(cut.kept, Costs(other)),
    )


def build_forward_only(captured: Captured) -> fx.GraphModule:
    """Return the model as a program that gives its flat outputs and keeps nothing."""
    joint = JointGraph.of(captured)
    leaves: Any = captured.graph.output_node().args[0]
    outputs = [joint.forward(n) if isinstance(n, fx.Node) else n for n in leaves]
    graph = _write_forward(joint, outputs, (), find_assertions(joint, ()))
    return module_of(captured.tensors, graph)


def _write_forward(
    joint: JointGraph,
    results: Sequence[fx.node.Argument],
    kept: Sequence[fx.Node],
    checks: Sequence[fx.Node],
) -> fx.Graph:
    """Write the model's ops in their own order, and what is kept as early as possible."""
    wanted = [n for n in results if isinstance(n, fx.Node)]
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in order_forward_ops(joint, [*wanted, *kept, *checks]):
        copies[node] = _copy_for_any_layout(graph, node, copies)
    graph.output(
        tuple(copies[n] if isinstance(n, fx.Node) else n for n in results)
        + tuple(copies[n] for n in kept)
    )
    graph.lint()
    return graph


def _write_relevance(joint: JointGraph, cut: PromiseCut, results: Sequence[fx.Node]) -> fx.Graph:
    """Write the rules' ops; what is not kept is recomputed right before its first use."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.set_codegen(ListArgument())
    arguments = {*joint.seeds, *list_inputs(joint), *cut.kept}
    for node in order_relevance_ops(joint, cut.relevance, cut.kept, results):
        if node in arguments:
            copies[node] = graph.placeholder(node.name)
            copies[node].meta["val"] = node.meta.get("val")
        else:
            copies[node] = _copy_for_any_layout(graph, node, copies)
    graph.output(tuple(copies[node] for node in results))
    graph.lint()
    return graph


def _copy_for_any_layout(
    graph: fx.Graph, node: fx.Node, copies: Mapping[fx.Node, fx.Node]
) -> fx.Node:
    """Copy a call in a form whose operands may lie in memory otherwise than at capture."""
    copy = graph.node_copy(node, lambda n: copies[n])
    target: Any = node.target
    copy.target = RESHAPE_FOR_VIEW.get(target, target)
    return copy


class ListArgument(CodeGen):
    """Generates `forward(self, values)`, which takes its arguments out of a list and clears it."""

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str, **options: Any) -> str:
        """Return the function's head and the line that unpacks the list."""
        names = [v.split(":")[0].split("=")[0].strip() for v in free_vars if v != "self"]
        unpack = f"\n    {', '.join(names)}, = values\n    values.clear()" if names else ""
        return f"def {self._func_name}(self, values){maybe_return_annotation}:{unpack}"
