"""Compile both programs with torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, fx
from torch.fx.graph import CodeGen

from ..errors import InputError
from ..graphs.aten import PRODUCT, SUM
from ..graphs.leftovers import short_lived
from ..graphs.modules import copy_graph
from ..graphs.nodes import value
from ..graphs.precision import coarsest_dtype, rounding_tolerance
from ..graphs.randomness import find_draws
from .program import Program, ProgramFunction
from .verified import VerifiedProgram

_Option: TypeAlias = str | int | bool | Callable[..., object]


def compile_programs(
    program: Program, mode: str | None = None
) -> tuple[ProgramFunction, ProgramFunction]:
    """Compile the forward and the relevance program, without graph breaks.

    Modes that use CUDA graphs write every run into the same memory; results are copied out of it.
    The compiled programs raise CompilerError on their first call if they disagree with the
    uncompiled ones.

    Args:
        program: The programs to compile.
        mode: A mode of torch.compile, for instance "reduce-overhead".

    Returns:
        The compiled forward and relevance programs.
    """
    # Two runs of a model that draws random numbers differ anyway; with torch's own generators,
    # compiled programs draw what the plain ones draw from the same state.
    random = bool(find_draws(program.forward.graph))
    options = _list_options(mode) | ({"fallback_random": True} if random else {})
    forward, relevance = (
        torch.compile(prepare_for_compiler(module).forward, fullgraph=True, options=options)
        for module in (program.forward, program.relevance)
    )
    if mode is not None and "no-cudagraphs" not in mode and torch.cuda.is_available():
        forward, relevance = _copy_out(forward, relevance, program.outputs)

    def run_relevance(values: list[object]) -> Sequence[object]:
        given = tuple(values)
        values.clear()
        results: Sequence[object] = relevance(*given)
        return results

    slack = rounding_tolerance(
        coarsest_dtype([*program.forward.graph.nodes, *program.relevance.graph.nodes])
    )
    return (
        VerifiedProgram("forward program", forward, program.forward, slack, verified=random),
        VerifiedProgram("relevance program", run_relevance, program.relevance, slack),
    )


def check_mode(mode: bool | str) -> None:
    """Raise InputError unless torch.compile knows this mode."""
    known = torch._inductor.list_mode_options()
    if isinstance(mode, str) and mode not in known:
        raise InputError(
            f"unknown torch.compile mode {mode!r}; choose from: {', '.join(known)}, or True"
        )


def prepare_for_compiler(module: fx.GraphModule) -> fx.GraphModule:
    """Return the same program with one argument per value, free of ops that compile wrongly.

    torch 2.13 compiles `add(x, a @ b, alpha=k)` as x + a @ b. So factors are written as products,
    which it fuses with the sum.
    """
    graph = copy_graph(module.graph)
    graph.set_codegen(CodeGen())
    for node in graph.find_nodes(op="call_function", target=SUM):
        factor = node.kwargs.get("alpha", 1)
        a, b = node.args
        if factor == 1 or not isinstance(b, fx.Node):
            continue
        with graph.inserting_before(node):
            product = graph.call_function(PRODUCT, (b, factor))
        product.meta["val"] = value(b)
        node.args, node.kwargs = (a, product), {}
    return short_lived(fx.GraphModule(module, graph))


def _list_options(mode: str | None) -> dict[str, _Option]:
    """Return the options of a mode, and skip guards on our own module, which nobody can change.

    Those guards took as long as everything else around the compiled code. Parameters are checked
    before each run.
    """
    options = torch._inductor.list_mode_options(mode) if mode else {}
    return {**options, "guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe}


def _copy_out(
    forward: ProgramFunction, relevance: ProgramFunction, outputs: int
) -> tuple[ProgramFunction, ProgramFunction]:
    """Copy what leaves both programs out of the memory that CUDA graphs use for every run."""

    def run_forward(*inputs: object) -> Sequence[object]:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        values = forward(*inputs)
        return (*_copy_tensors(values[:outputs]), *values[outputs:])

    def run_relevance(*given: object) -> Sequence[object]:
        return _copy_tensors(relevance(*given))

    return run_forward, run_relevance


def _copy_tensors(values: Sequence[object]) -> tuple[object, ...]:
    return tuple(v.clone() if isinstance(v, Tensor) else v for v in values)
