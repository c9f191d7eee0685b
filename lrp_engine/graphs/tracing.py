"""Trace torch code into a small graph, and copy such graphs into larger ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensor, disable_fake_tensor_cache
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import Argument, Target
from torch.utils import _pytree as pytree

from ..kernels.dense_rows import dense_rows
from .aten import (
    ATTENTION_KERNELS,
    ATTENTION_ROWS,
    CAST,
    TRANSPARENT,
)
from .leftovers import short_lived
from .schema import bind
from .tracing_lock import one_at_a_time
from .walk import upstream


@dataclass(frozen=True)
class Template:
    """A traced function: one input node per argument, and what it returned."""

    inputs: tuple[fx.Node, ...]
    body: tuple[fx.Node, ...]
    results: tuple[fx.Node | None, ...]

    def reads(self) -> tuple[bool, ...]:
        """Return for each argument whether the function used it."""
        used = {n for node in self.body for n in node.all_input_nodes}
        return tuple(node in used or node in self.results for node in self.inputs)


@one_at_a_time
def trace(
    function: Callable[..., object], examples: Sequence[object], *, whole: bool = False
) -> Template:
    """Trace `function(*examples)` on fake tensors into ATen ops; dead code is removed.

    `function` returns a tensor, or a list of tensors and None. Symbolic sizes stay symbolic.
    `whole`: ops that torch composes of others are not taken apart.
    """
    given = [e.detach() if isinstance(e, Tensor) else e for e in examples]
    missing: list[bool] = []

    def flat(*arguments: object) -> list[object]:
        results = function(*arguments)
        results = list(results) if isinstance(results, (list, tuple)) else [results]
        missing[:] = [r is None for r in results]
        return [r for r in results if r is not None]

    # The Python dispatcher gives composite ops kernels that know symbolic sizes.
    with _fake_mode_of(given), enable_python_dispatcher(), torch.no_grad():
        traced = short_lived(make_fx(flat, pre_dispatch=whole)(*given))
        if any(_mutates(node) for node in traced.graph.nodes):
            again = fx.Interpreter(traced).run
            traced = make_fx(torch.func.functionalize(again, remove="mutations"))(*given)
    graph = traced.graph
    _see_through(graph)
    _keep_rows_dense(graph)
    graph.eliminate_dead_code()
    return _template(graph, missing)


def signature(example: object) -> tuple[object, ...]:
    """Return what a trace depends on: arguments of equal signature give the same template."""
    if isinstance(example, Tensor):
        shape, stride = tuple(map(_size, example.shape)), tuple(map(_size, example.stride()))
        return (shape, stride, example.dtype, str(example.device))
    return (type(example).__name__, str(example))


def _size(size: int | torch.SymInt) -> object:
    # The expression and not its text: printing one costs more than all the rest of a walk.
    return size.node.expr if isinstance(size, torch.SymInt) else size


def inline(
    template: Template,
    graph: fx.Graph,
    arguments: Sequence[Any],
    origin: fx.Node | None = None,
    emit: Callable[..., fx.Node | int] | None = None,
) -> list[Any]:
    """Copy a template into `graph` with its inputs bound to `arguments` and return its results.

    `emit(target, args, kwargs, value)` may create the nodes in the caller's own way.
    """
    create = emit or _emitter(graph, origin)
    made: dict[fx.Node, Any] = dict(zip(template.inputs, arguments, strict=True))
    for node in template.body:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: made[n])
        made[node] = create(node.target, args, kwargs, node.meta.get("val"))
    return [made[r] if isinstance(r, fx.Node) else r for r in template.results]


def prune(template: Template, results: Sequence[fx.Node | None]) -> Template:
    """Return the same trace with other results, without the nodes that they do not need."""
    needed = upstream(results)
    body = tuple(node for node in template.body if node in needed)
    return Template(template.inputs, body, tuple(results))


def _emitter(graph: fx.Graph, origin: fx.Node | None) -> Callable[..., fx.Node]:
    def create(
        target: Target, args: tuple[Argument, ...], kwargs: dict[str, Argument], val: object
    ) -> fx.Node:
        assert callable(target)
        node = graph.call_function(target, args, kwargs)
        node.meta = {k: v for k, v in (origin.meta if origin else {}).items() if k != "val"}
        node.meta["val"] = val
        return node

    return create


def _mutates(node: fx.Node) -> bool:
    """Return whether an op writes into its operand, as some of torch's own derivatives do.

    In a joint graph, where equal computations are one node, that would spoil other users' values.
    """
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _template(graph: fx.Graph, missing: list[bool]) -> Template:
    nodes = list(graph.nodes)
    returned = iter(nodes[-1].args[0])
    return Template(
        inputs=tuple(n for n in nodes if n.op == "placeholder"),
        body=tuple(n for n in nodes if n.op == "call_function"),
        results=tuple(None if gone else next(returned) for gone in missing),
    )


def _see_through(graph: fx.Graph) -> None:
    """Remove what means nothing in a functional graph.

    Autograd's detach and alias nodes; the device and layout of a cast that are its tensor's own.
    """
    for node in graph.nodes:
        if node.target in TRANSPARENT:
            node.replace_all_uses_with(node.args[0])
        elif node.target is CAST:
            x = node.args[0].meta["val"]
            there = {"device": x.device, "layout": x.layout}
            node.kwargs = {k: v for k, v in node.kwargs.items() if there.get(k) != v}


def _keep_rows_dense(graph: fx.Graph) -> None:
    """Make attention's operands dense: its kernel was chosen by the strides at the trace."""
    for node in graph.nodes:
        if node.target not in ATTENTION_KERNELS:
            continue
        arguments = bind(node.target, node.args, node.kwargs)
        read = [arguments[name] for name in ATTENTION_ROWS if name in arguments]
        with graph.inserting_before(node):
            for x in dict.fromkeys(read):
                dense = graph.call_function(dense_rows, (x,))
                dense.meta["val"] = x.meta["val"]
                node.replace_input_with(x, dense)


@one_at_a_time
def run_without_data(
    target: Target, args: tuple[Argument, ...], kwargs: Mapping[str, Argument]
) -> Any:
    """Return an op's result on the fake values of its arguments."""
    assert callable(target)
    filled = pytree.tree_map(_example, (args, kwargs))
    with _fake_mode_of(filled), enable_python_dispatcher(), torch.no_grad():
        return target(*filled[0], **filled[1])


def _example(leaf: object) -> object:
    return leaf.meta["val"] if isinstance(leaf, fx.Node) else leaf


@contextlib.contextmanager
def _fake_mode_of(examples: object) -> Iterator[None]:
    """Enter the fake mode of the first fake tensor, without its cache of results.

    A rule is traced once per signature: with symbolic sizes, the keys cost more than the few hits.
    """
    modes = [e.fake_mode for e in pytree.tree_leaves(examples) if isinstance(e, FakeTensor)]
    if not modes:
        yield
        return
    with modes[0], disable_fake_tensor_cache(modes[0]):
        yield
