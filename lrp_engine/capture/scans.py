"""Capture state space models by their scan instead of their loop over positions.

transformers steps through the positions of a state space model in Python, unless the model is
compiled (then it scans) and not exported (ONNX has no scan). A capture of the loop would grow with
the text and serve one length only. So during capture we make transformers'
`is_torchdynamo_compiling()` return True and `is_torchdynamo_exporting()` return False, in the files
that define submodules with `use_associative_scan` set and nowhere else; the model then takes its
scan branch. A scan that combines steps as a linear recurrence does is replaced by that one op.
"""

from __future__ import annotations

import importlib
import itertools
import operator
import sys
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..kernels import linear_recurrence

_OFFERS = "use_associative_scan"
_SCAN = "associative_scan"
_HOME = "torch._higher_order_ops.associative_scan"
_ANSWERS = {"is_torchdynamo_compiling": True, "is_torchdynamo_exporting": False}
_ONE_OP = torch.ops.lrp_engine.linear_recurrence.default
_NOTE = "scans through the text, as the model does in torch.compile; outside it steps"
_SUMS = {operator.add, torch.add, "add"}
_PRODUCTS = {operator.mul, torch.mul, "mul"}

Scan = Callable[..., Any]
Combine = Callable[[Any, Any], Any]  # of two steps, each a tree of tensors


@contextmanager
def allow_scans(model: nn.Module) -> Iterator[None]:
    """Let a model take its scan branch; one without a scan, or under a torch without it, loops."""
    files = _files(model)
    home = _home() if files else None
    with ExitStack() as stack:
        if home is not None:
            scan = make_scan(getattr(home, _SCAN))
            for place in (home, *files):
                _swap(stack, place, _SCAN, scan)
            for place, name in itertools.product(files, _ANSWERS):
                _swap(stack, place, name, partial(bool, _ANSWERS[name]))
        yield


def scan_notes(graph: fx.Graph) -> tuple[str, ...]:
    """Return a note if the model was captured by its scan, which may round unlike its loop."""
    found = graph.find_nodes(op="call_function", target=_ONE_OP)
    return (_NOTE,) if found else ()


def _swap(stack: ExitStack, place: ModuleType, name: str, function: Scan) -> None:
    if hasattr(place, name):
        stack.callback(setattr, place, name, getattr(place, name))
        setattr(place, name, function)


def _files(model: nn.Module) -> list[ModuleType]:
    """Return the Python modules of the classes that offer a scan."""
    kinds = {
        c for m in model.modules() if getattr(m, _OFFERS, False) is True for c in type(m).mro()
    }
    names = {kind.__module__ for kind in kinds} & sys.modules.keys()
    return [sys.modules[n] for n in names if any(hasattr(sys.modules[n], a) for a in _ANSWERS)]


def _home() -> ModuleType | None:
    """Return the module in which torch keeps its scan; None if this torch has it elsewhere."""
    try:
        home = importlib.import_module(_HOME)
    except ImportError:
        return None
    return home if hasattr(home, _SCAN) else None


def make_scan(own: Scan) -> Scan:
    """Return torch's scan `own`, except that linear recurrences become one op.

    The result has the signature of `torch._higher_order_ops.associative_scan.associative_scan`.
    """

    def scan(
        combine_fn: Combine, xs: object, dim: int, reverse: bool = False, **settings: object
    ) -> object:
        if not (isinstance(xs, (tuple, list)) and len(xs) == 2 and is_recurrence(combine_fn)):
            return own(combine_fn, xs, dim, reverse, **settings)
        decay, inflow = xs
        return _Unread(), linear_recurrence(decay, inflow, dim, reverse)

    return scan


class _Unread:
    """Stand in for the product of all decays, which the op does not compute and no model reads."""


def is_recurrence(combine_fn: Combine) -> bool:
    """Return whether steps combine as (a_l, b_l), (a_r, b_r) -> (a_l a_r, a_r b_l + b_r)."""

    def flat(a_left: Tensor, b_left: Tensor, a_right: Tensor, b_right: Tensor) -> object:
        return combine_fn((a_left, b_left), (a_right, b_right))

    try:
        graph = fx.Tracer().trace(flat)
    except Exception:
        return False  # not plain arithmetic
    a_left, b_left, a_right, b_right = graph.find_nodes(op="placeholder")
    returned = graph.output_node().args[0]
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        return False
    decay, state = returned
    terms = _operands(state, _SUMS)
    return _operands(decay, _PRODUCTS) == {a_left, a_right} and any(
        _operands(carried, _PRODUCTS) == {a_right, b_left} and terms == {carried, b_right}
        for carried in terms
    )


def _operands(node: object, ops: Set[object]) -> set[fx.Node]:
    """Return the two operands of a sum or product; nothing for any other node."""
    if not isinstance(node, fx.Node) or node.target not in ops or node.kwargs:
        return set()
    operands = {a for a in node.args if isinstance(a, fx.Node)}
    return operands if all(isinstance(a, fx.Node) for a in node.args) else set()
