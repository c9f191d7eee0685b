"""A program as eager torch runs it at the least cost: the same ops by names that are found sooner.

Calling `torch.ops.aten.mul.Tensor` takes half as long again as calling `torch.mul`, and a module
looks each of its tensors up in several places. Where a GPU waits for its host, that is a quarter of
the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import BuiltinFunctionType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ..graphs.aten import CAST, UNFOLDED
from ..graphs.nodes import value, values
from ..kernels.dense_rows import dense_rows, with_dense_rows

Heard = list[tuple[Any, ...]]
Spelling = tuple[Any, Any]  # what fx calls the kind of call, and its target
_PLACES = (torch, torch._C._nn)  # where torch keeps its built-in functions
_OWN: dict[Any, Spelling] = {dense_rows: ("call_function", with_dense_rows)}


@dataclass(frozen=True)
class Eager:
    """A program as one Python function. `code` is its text, `held` its tensors."""

    code: str
    held: SimpleNamespace
    function: Callable[..., Sequence[Any]]

    def __call__(self, *given: Any) -> Sequence[Any]:
        return self.function(self.held, *given)


def eager(module: fx.GraphModule) -> Eager:
    """Spells a program anew. An op that torch has no function or method for keeps its own name."""
    graph = fx.Graph()
    graph.set_codegen(module.graph._codegen)
    graph.output(graph.graph_copy(module.graph, {}))
    _fold_products(graph)
    known: dict[Any, Spelling] = {}
    for node in graph.nodes:
        if node.op == "call_function" and isinstance(node.target, OpOverload):
            key = _kinds(node)
            if key not in known:
                known[key] = _OWN.get(node.target) or _spelling(node)
            node.op, node.target = known[key]
    held = {str(n.target): getattr(module, str(n.target)) for n in graph.find_nodes(op="get_attr")}
    spelt = fx.GraphModule(held, graph)
    return Eager(spelt.code, SimpleNamespace(**held), type(spelt).forward)


def _fold_products(graph: fx.Graph) -> None:
    """Calls a product whole that was taken apart: torch makes the same three calls of it."""
    for last in graph.find_nodes(op="call_function", target=UNFOLDED[-1]):
        parts = _parts(last)
        if not parts:
            continue
        x, w = parts[0].args[0], parts[1].args[1]
        if not _is_product(*map(value, (x, w, parts[0], last))):
            continue
        with graph.inserting_before(last):
            whole = graph.call_function(torch.matmul, (x, w))
        whole.meta["val"] = value(last)
        last.replace_all_uses_with(whole)
        for node in reversed(parts):
            graph.erase_node(node)


def _parts(last: fx.Node) -> list[fx.Node]:
    """The calls of a product taken apart; none if something else reads what is between them."""
    found = [last]
    for target in reversed(UNFOLDED[:-1]):
        before: Any = found[0].args[0]
        if before.target is not target or len(before.users) > 1:
            return []
        found.insert(0, before)
    return found


def _is_product(x: Tensor, w: Tensor, flat: Tensor, result: Tensor) -> bool:
    """Whether `flat` is x with all axes but the last made one, and the result has them again.

    Torch keeps to one matrix product only where that needs no copy of x.
    """
    shape, strides = ([str(n) for n in numbers] for numbers in (x.shape, x.stride()))
    dense = [str(n) for n in _dense(x)]
    wide = [str(n) for n in result.shape]
    return (
        len(shape) > 2
        and strides == dense
        and str(flat.shape[1]) == shape[-1]
        and wide == [*shape[:-1], str(w.shape[1])]
    )


def _dense(x: Tensor) -> list[Any]:
    """The strides of a contiguous tensor of this shape."""
    found: list[Any] = [1]
    for size in reversed(x.shape[1:]):
        found.insert(0, found[0] * size)
    return found


def _spelling(node: fx.Node) -> Spelling:
    """The first that calls the very ops, with the very arguments, that the node's target does."""
    target: Any = node.target
    with suppress(Exception), FakeTensorMode():
        args, kwargs = pytree.tree_map(_sized, values((node.args, node.kwargs)))
        expected = _heard(partial(target, *args, **kwargs))
        for kind, name in _candidates(node):
            call = getattr(Tensor, name) if kind == "call_method" else name
            with suppress(Exception):
                if expected and _heard(partial(call, *args, **kwargs)) == expected:
                    return kind, name
    return node.op, target


def _candidates(node: fx.Node) -> Iterator[Spelling]:
    """Torch's functions and methods of an op's name, if there is a tensor to tell the device."""
    name = node.target._schema.name.split("::")[-1]  # type: ignore[union-attr]
    if not any(isinstance(v, Tensor) for v in pytree.tree_leaves(values(node.args))):
        return
    for place in _PLACES:
        function = getattr(place, name, None)
        if isinstance(function, BuiltinFunctionType):
            yield "call_function", function
    if isinstance(values(node.args[0]), Tensor) and hasattr(Tensor, name):
        yield "call_method", name
    if node.target is CAST:
        yield "call_method", "to"


def _kinds(node: fx.Node) -> Any:
    """All that the choice of an op by a function's name can depend on."""
    leaves, spec = pytree.tree_flatten(values((node.args, node.kwargs)))
    return node.target, str(spec), tuple(_kind(leaf) for leaf in leaves)


def _kind(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return leaf.dtype, leaf.device, leaf.dim()
    return type(leaf) if type(leaf) in (int, float, torch.SymInt) else leaf


def _sized(leaf: Any) -> Any:
    """At the sizes of the example, as a program meets them when it runs."""
    if isinstance(leaf, torch.SymInt):
        return leaf.node.hint
    if not isinstance(leaf, Tensor):
        return leaf
    shape, strides = ([_sized(n) for n in numbers] for numbers in (leaf.shape, leaf.stride()))
    return torch.empty_strided(shape, strides, dtype=leaf.dtype, device=leaf.device)


class _Listening(TorchDispatchMode):
    """Writes down which ops arrive at torch's dispatcher, with what arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: Heard = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        leaves, spec = pytree.tree_flatten((args, kwargs or {}))
        shown = tuple("tensor" if isinstance(leaf, Tensor) else str(leaf) for leaf in leaves)
        self.heard.append((func, str(spec), shown))
        return func(*args, **(kwargs or {}))


def _heard(call: Callable[[], Any]) -> Heard:
    with torch.no_grad(), _Listening() as mode:
        call()
    return mode.heard
