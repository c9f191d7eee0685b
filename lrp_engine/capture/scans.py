"""Lets a model that can scan through its text do so while it is captured, in place of a loop.

transformers steps through the text of a state space model in Python, unless the model is compiled
(then it scans) and not exported (ONNX knows no scan). Captured so, the graph would grow with the
text and serve one length. Inside `allow_scans()` such a model, one with a submodule that has
`use_associative_scan` set, is told that it is compiled and not exported where it chooses between
the two, and nowhere else. The scan that it then calls is, if it joins steps as a linear recurrence
does, that one op.
"""

from __future__ import annotations

import importlib
import itertools
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import fx, nn

from ..kernels import linear_recurrence

_OFFERS = "use_associative_scan"
_SCAN = "associative_scan"
_HOME = "torch._higher_order_ops.associative_scan"
_ANSWERS = {"is_torchdynamo_compiling": True, "is_torchdynamo_exporting": False}
_ONE_OP = torch.ops.lrp_engine.linear_recurrence.default
_NOTE = "scans through the text, as the model does in torch.compile; outside it steps"
_SUMS = {operator.add, torch.add, "add"}
_PRODUCTS = {operator.mul, torch.mul, "mul"}


@contextmanager
def allow_scans(model: nn.Module) -> Iterator[None]:
    """A model without a scan, or for which this torch has none, steps as ever."""
    files = _files(model)
    home = _home() if files else None
    with ExitStack() as stack:
        if home is not None:
            scan = make_scan(getattr(home, _SCAN))
            for place in (home, *files):
                _swap(stack, place, _SCAN, scan)
            for place, name in itertools.product(files, _ANSWERS):
                _swap(stack, place, name, lambda answer=_ANSWERS[name]: answer)
        yield


def scan_notes(graph: fx.Graph) -> tuple[str, ...]:
    """That a result comes from the model's scan, which may round otherwise than its loop."""
    found = graph.find_nodes(op="call_function", target=_ONE_OP)
    return (_NOTE,) if found else ()


def _swap(stack: ExitStack, place: ModuleType, name: str, function: Callable[..., Any]) -> None:
    if hasattr(place, name):
        stack.callback(setattr, place, name, getattr(place, name))
        setattr(place, name, function)


def _files(model: nn.Module) -> list[ModuleType]:
    """The Python files of the classes that offer a scan."""
    kinds = {
        c for m in model.modules() if getattr(m, _OFFERS, False) is True for c in type(m).mro()
    }
    names = {kind.__module__ for kind in kinds} & sys.modules.keys()
    return [sys.modules[n] for n in names if any(hasattr(sys.modules[n], a) for a in _ANSWERS)]


def _home() -> ModuleType | None:
    """Where torch keeps its scan; None if this torch keeps it elsewhere."""
    try:
        home = importlib.import_module(_HOME)
    except ImportError:
        return None
    return home if hasattr(home, _SCAN) else None


def make_scan(own: Callable[..., Any]) -> Callable[..., Any]:
    def scan(combine_fn: Any, xs: Any, dim: int, reverse: bool = False, **settings: Any) -> Any:
        if not (isinstance(xs, (tuple, list)) and len(xs) == 2 and is_recurrence(combine_fn)):
            return own(combine_fn, xs, dim, reverse, **settings)
        decay, inflow = xs
        return _Unread(), linear_recurrence(decay, inflow, dim, reverse)

    return scan


class _Unread:
    """The product of all decays so far, which a recurrence does not compute and no model reads."""


def is_recurrence(combine_fn: Callable[..., Any]) -> bool:
    """Whether steps are joined as (a_l, b_l), (a_r, b_r) -> (a_l a_r, a_r b_l + b_r)."""

    def flat(a_left: Any, b_left: Any, a_right: Any, b_right: Any) -> Any:
        return combine_fn((a_left, b_left), (a_right, b_right))

    try:
        graph = fx.Tracer().trace(flat)
    except Exception:
        return False  # not plain arithmetic
    a_left, b_left, a_right, b_right = graph.find_nodes(op="placeholder")
    returned: Any = graph.output_node().args[0]
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        return False
    decay, state = returned
    return _made(decay, _PRODUCTS) == {a_left, a_right} and any(
        _made(carried, _PRODUCTS) == {a_right, b_left} and _made(state, _SUMS) == {carried, b_right}
        for carried in _made(state, _SUMS)
    )


def _made(node: Any, ways: set[Any]) -> set[fx.Node]:
    """The two operands of a sum or product; nothing for any other node."""
    if not isinstance(node, fx.Node) or node.target not in ways or node.kwargs:
        return set()
    return set(node.args) if all(isinstance(a, fx.Node) for a in node.args) else set()  # type: ignore[arg-type]
