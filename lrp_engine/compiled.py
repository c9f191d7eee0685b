"""Both programs through torch.compile, and the proof that it left them what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from .aten import PRODUCT, SUM
from .cost import is_random
from .errors import CompilerError
from .graph import value
from .program import Program, Run
from .validate import coarsest, half_the_digits, largest, pieces


def compiled(program: Program, mode: str | None = None) -> tuple[Run, Run]:
    """Forward and relevance program, compiled without graph breaks.

    Modes that use CUDA graphs write every run into the same memory; what leaves the programs
    is copied there. Raises CompilerError on the first call of either that gives something else than
    the program as it is.
    """
    forward, relevance = (
        torch.compile(for_compiler(module), fullgraph=True, mode=mode)
        for module in (program.forward, program.relevance)
    )
    replayed = mode is not None and "no-cudagraphs" not in mode and torch.cuda.is_available()

    def first(*inputs: Any) -> Sequence[Any]:
        if not replayed:
            return forward(*inputs)
        torch.compiler.cudagraph_mark_step_begin()
        values = forward(*inputs)
        return (*_copies(values[: program.outputs]), *values[program.outputs :])

    def second(values: list[Any]) -> Sequence[Any]:
        given = tuple(values)
        values.clear()
        results = relevance(*given)
        return _copies(results) if replayed else results

    # Two runs of a model that draws random numbers differ anyway.
    random = any(is_random(n) for n in program.forward.graph.nodes if n.op == "call_function")
    slack = half_the_digits(
        coarsest([*program.forward.graph.nodes, *program.relevance.graph.nodes])
    )
    return (
        _Tried("forward program", first, program.forward, slack, tried=random),
        _Tried("relevance program", second, lambda values: program.relevance(list(values)), slack),
    )


@dataclass
class _Tried:
    """A compiled program that is compared with the plain one when it first runs.

    `slack` is that of the coarsest dtype in the programs: what a value of single precision was
    computed from may have been rounded to half precision, and a compiler leaves such steps out.
    """

    name: str
    run: Run
    plain: Run
    slack: float
    tried: bool = False

    def __call__(self, *given: Any) -> Sequence[Any]:
        if self.tried:
            return self.run(*given)
        expected = self.plain(*given)  # first: the compiled one may empty what it is given
        found = self.run(*given)
        _compare(self.name, found, expected, self.slack)
        self.tried = True
        return found


def _compare(name: str, found: Sequence[Any], expected: Sequence[Any], slack: float) -> None:
    """Raises CompilerError unless all numbers agree to `slack` times the largest."""
    for mine, theirs in zip(found, expected, strict=True):
        if not isinstance(theirs, Tensor) or not theirs.dtype.is_floating_point:
            continue
        parts = zip(pieces(mine), pieces(theirs), strict=True)
        apart = max((largest(a.double() - b.double()) for a, b in parts), default=0.0)
        scale = max(map(largest, pieces(theirs)), default=0.0)
        if apart > slack * scale:
            raise CompilerError(
                f"torch.compile made something else of the {name}: results differ by {apart:.2g} of"
                f" {scale:.2g}. Leave compile=False; or, if the model amplifies rounding so much"
                " that its own results say little in this dtype, compile it in a wider one"
            )


def for_compiler(module: fx.GraphModule) -> fx.GraphModule:
    """The same program with one argument per value, and no op that the compiler gets wrong.

    torch 2.13 compiles `add(x, a @ b, alpha=k)` as x + a @ b. So factors are written as products,
    which it fuses with the sum.
    """
    graph = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(module.graph, values))
    for node in graph.find_nodes(op="call_function", target=SUM):
        factor = node.kwargs.get("alpha", 1)
        a, b = node.args
        if factor == 1 or not isinstance(b, fx.Node):
            continue
        with graph.inserting_before(node):
            product = graph.call_function(PRODUCT, (b, factor))
        product.meta["val"] = value(b)
        node.args, node.kwargs = (a, product), {}
    return fx.GraphModule(module, graph)


def _copies(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(v.clone() if isinstance(v, Tensor) else v for v in values)
