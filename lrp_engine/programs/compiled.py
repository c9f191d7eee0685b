"""Both programs through torch.compile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from ..errors import InputError
from ..graphs.aten import PRODUCT, SUM
from ..graphs.nodes import value
from ..graphs.precision import coarsest, half_the_digits
from ..promises.costs import is_random
from .program import Program, Run
from .verified import Tried


def compiled(program: Program, mode: str | None = None) -> tuple[Run, Run]:
    """Forward and relevance program, compiled without graph breaks.

    Modes that use CUDA graphs write every run into the same memory; what leaves the programs
    is copied there. Raises CompilerError on the first call of either that gives something else than
    the program as it is.
    """
    forward, relevance = (
        torch.compile(for_compiler(module).forward, fullgraph=True, options=_settings(mode))
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
        Tried("forward program", first, program.forward, slack, tried=random),
        Tried("relevance program", second, program.relevance, slack),
    )


def check_mode(mode: bool | str) -> None:
    """Raises InputError unless torch.compile knows this mode."""
    known = torch._inductor.list_mode_options()
    if isinstance(mode, str) and mode not in known:
        modes = ", ".join(known)
        raise InputError(f"compile={mode!r} is no mode of torch.compile: {modes}, or True")


def _settings(mode: str | None) -> dict[str, Any]:
    """What the mode stands for; and no guards on our own module, which nobody else can change.

    They took as long as all of the wrapping together. Parameters are checked in `validate`.
    """
    chosen = torch._inductor.list_mode_options(mode) if mode else {}
    return {**chosen, "guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe}


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
