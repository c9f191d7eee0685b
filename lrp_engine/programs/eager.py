"""Generate a Python function that runs a program with less dispatch overhead.

Calling `torch.ops.aten.mul.Tensor` takes half as long again as calling `torch.mul`, and a module
looks each of its tensors up in several places. Where a GPU waits for its host, that is a quarter of
the time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import BuiltinFunctionType, SimpleNamespace
from typing import TypeAlias

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ..graphs.aten import CAST, FLATTENED_MATMUL
from ..graphs.leftovers import short_lived
from ..graphs.modules import copy_graph
from ..graphs.nodes import value, values
from ..kernels.dense_rows import dense_rows, with_dense_rows
from .program import ProgramFunction

_Dispatched: TypeAlias = list[tuple[object, ...]]
_Spelling: TypeAlias = tuple[str, fx.node.Target]  # what fx calls the kind of call; its target
_Size: TypeAlias = int | torch.SymInt

# To compare symbols would be to decide something about them.
_NUMBERS = (int, float, torch.SymInt, torch.SymFloat, torch.SymBool)
_NAMESPACES = (torch, torch._C._nn)  # where torch keeps its built-in functions
_OWN: dict[fx.node.Target, _Spelling] = {dense_rows: ("call_function", with_dense_rows)}


@dataclass(frozen=True)
class EagerProgram:
    """A program as one Python function, the code of that function, and the program's tensors."""

    code: str
    tensors: SimpleNamespace
    function: ProgramFunction

    def __call__(self, *given: object) -> Sequence[object]:
        """Run the program."""
        return self.function(self.tensors, *given)


def generate_eager(module: fx.GraphModule) -> EagerProgram:
    """Write a program with the shortest name that calls each of its ops.

    An op that torch has no function or method for keeps its own name.
    """
    graph = copy_graph(module.graph)
    _restore_products(graph)
    known: dict[Hashable, _Spelling] = {}
    for node in graph.nodes:
        if node.op == "call_function" and isinstance(node.target, OpOverload):
            key = _spelling_key(node)
            if key not in known:
                known[key] = _OWN.get(node.target) or _find_spelling(node, node.target)
            node.op, node.target = known[key]
    names = [str(node.target) for node in graph.find_nodes(op="get_attr")]
    tensors = {name: getattr(module, name) for name in names}
    spelled = short_lived(fx.GraphModule(tensors, graph))
    return EagerProgram(spelled.code, SimpleNamespace(**tensors), type(spelled).forward)


def _restore_products(graph: fx.Graph) -> None:
    """Call a product whole that was decomposed: torch makes the same three calls of it."""
    for last in graph.find_nodes(op="call_function", target=FLATTENED_MATMUL[-1]):
        parts = _find_parts(last)
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


def _find_parts(last: fx.Node) -> list[fx.Node]:
    """Return the calls of a decomposed product; none if another op reads what is between them."""
    found = [last]
    for target in reversed(FLATTENED_MATMUL[:-1]):
        before = found[0].args[0]
        if not isinstance(before, fx.Node) or before.target is not target or len(before.users) > 1:
            return []
        found.insert(0, before)
    return found


def _is_product(x: Tensor, w: Tensor, flat: Tensor, result: Tensor) -> bool:
    """Return whether `flat` is x with all axes but the last merged, and the result has them again.

    Torch keeps to one matrix product only where that needs no copy of x.
    """
    shape, strides = ([str(n) for n in numbers] for numbers in (x.shape, x.stride()))
    dense = [str(n) for n in _contiguous_strides(x)]
    wide = [str(n) for n in result.shape]
    return (
        len(shape) > 2
        and strides == dense
        and str(flat.shape[1]) == shape[-1]
        and wide == [*shape[:-1], str(w.shape[1])]
    )


def _contiguous_strides(x: Tensor) -> list[_Size]:
    found: list[_Size] = [1]
    for size in reversed(x.shape[1:]):
        found.insert(0, found[0] * size)
    return found


def _find_spelling(node: fx.Node, op: OpOverload) -> _Spelling:
    """Return the first that calls the very ops, with the very arguments, that the op does."""
    with suppress(Exception), FakeTensorMode():
        args, kwargs = pytree.tree_map(_at_example_size, values((node.args, node.kwargs)))
        expected = _record_dispatch(partial(op, *args, **kwargs))
        for kind, name in _candidates(node, op):
            call = getattr(Tensor, name) if isinstance(name, str) else name
            with suppress(Exception):
                if expected and _record_dispatch(partial(call, *args, **kwargs)) == expected:
                    return kind, name
    return node.op, op


def _candidates(node: fx.Node, op: OpOverload) -> Iterator[_Spelling]:
    """Yield torch's functions and methods of an op's name, if a tensor tells the device."""
    name = op._schema.name.split("::")[-1]
    if not any(isinstance(v, Tensor) for v in pytree.tree_leaves(values(node.args))):
        return
    for namespace in _NAMESPACES:
        function = getattr(namespace, name, None)
        if isinstance(function, BuiltinFunctionType):
            yield "call_function", function
    if isinstance(values(node.args[0]), Tensor) and hasattr(Tensor, name):
        yield "call_method", name
    if op is CAST:
        yield "call_method", "to"


def _spelling_key(node: fx.Node) -> Hashable:
    """Return all that the choice of an op by a function's name can depend on."""
    leaves, spec = pytree.tree_flatten(values((node.args, node.kwargs)))
    return node.target, str(spec), tuple(_kind_of(leaf) for leaf in leaves)


def _kind_of(leaf: object) -> object:
    if isinstance(leaf, Tensor):
        return leaf.dtype, leaf.device, leaf.dim()
    return type(leaf) if isinstance(leaf, _NUMBERS) and not isinstance(leaf, bool) else leaf


def _at_example_size(leaf: object) -> object:
    """Return a value at the sizes of the example, as a program meets it when it runs."""
    if isinstance(leaf, (torch.SymInt, torch.SymFloat)):
        return leaf.node.hint
    if not isinstance(leaf, Tensor):
        return leaf
    shape, strides = (
        [n.node.hint if isinstance(n, torch.SymInt) else n for n in numbers]
        for numbers in (leaf.shape, leaf.stride())
    )
    return torch.empty_strided(shape, strides, dtype=leaf.dtype, device=leaf.device)


class _DispatchRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the ops that arrive at torch's dispatcher, and their arguments."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dispatched: _Dispatched = []

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        leaves, spec = pytree.tree_flatten((args, kwargs or {}))
        shown = tuple("tensor" if isinstance(leaf, Tensor) else str(leaf) for leaf in leaves)
        self.dispatched.append((func, str(spec), shown))
        return func(*args, **(kwargs or {}))


def _record_dispatch(call: Callable[[], object]) -> _Dispatched:
    recorder = _DispatchRecorder()
    with torch.no_grad(), recorder:
        call()
    return recorder.dispatched
