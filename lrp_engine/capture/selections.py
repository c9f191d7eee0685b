"""Answer for torch.export whether a selection by data is empty: it is taken for not empty.

A loop over experts that skips those without tokens asks how many tokens were selected. What it
computes of none is nothing: with all experts computed, results are the same. The answer is not
proved by torch, so the model itself runs beside every call of such a capture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

import sympy
import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import (
    GuardOnDataDependentSymNode,
    ShapeEnv,
    free_unbacked_symbols,
)
from torch.utils import _pytree as pytree

from ..errors import CaptureError
from .functional import Functional
from .signature import CallArguments, clone_inputs

Way = TypeVar("Way")

FILLED = "selections by data are taken for not empty; the model runs beside every call"
RECORDED = f"recorded: one call's control flow, where {FILLED}"
# Sizes for which an answer must be the same: any but zero.
_SIZES = (1, 2, 3, 7, 1000)
# More answers than any model asks for, other than in a loop that they never let end.
_MOST = 512


def is_by_data(fault: BaseException) -> bool:
    """Return whether an exception, or one that led to it, says that data decide what is run."""
    link: BaseException | None = fault
    while link is not None:
        if isinstance(link, GuardOnDataDependentSymNode):
            return True
        link = link.__cause__ or link.__context__
    return False


def export_filled(
    export: Callable[[Way], tuple[Functional, str]],
    ways: Sequence[Way],
    module: nn.Module,
    call: CallArguments,
) -> tuple[Functional, str]:
    """Export in the first way that computes what the model does on the example.

    A truth that data decide (`if mask.any()`) is taken for true, or else for false. Put before the
    note of the way is what was taken for granted.

    Raises what the last way raised, or CaptureError if no way gives the model's result.
    """
    fault: Exception = CaptureError("what is computed depends on data beyond what is empty")
    args, kwargs = clone_inputs(call)
    with torch.no_grad():
        wanted = module(*args, **kwargs)
    for truth in (1, 0):
        for way in ways:
            try:
                with take_selections_for_filled(truth) as asked:
                    found = export(way)
            except Exception as error:
                fault = error
                continue
            if _computes(found[0], call, wanted):
                return found[0], (RECORDED if any(asked) else FILLED) + found[1]
        if not any(asked):
            break
    raise fault


def _computes(functional: Functional, call: CallArguments, wanted: object) -> bool:
    """Return whether a program gives the model's result; how exactly is a later question."""
    args, kwargs = clone_inputs(call)
    with torch.no_grad():
        found = functional.program.module(check_guards=False)(*args, **kwargs)
    pairs = zip(pytree.tree_leaves(found), pytree.tree_leaves(wanted), strict=True)
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-3, equal_nan=True)
        for a, b in pairs
        if isinstance(a, Tensor) and isinstance(b, Tensor)
    )


@contextmanager
def take_selections_for_filled(truth: int = 1) -> Iterator[list[bool]]:
    """Answer questions about sizes and truths that data decide.

    Yields a list that fills with what was asked: True for a truth, False for a size. The caller
    holds the lock around tracing: a method of torch's is replaced meanwhile.
    """
    asked: list[bool] = []
    evaluate = ShapeEnv.evaluate_sym_node

    def answering(env: ShapeEnv, node: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return evaluate(env, node, *args, **kwargs)
        except GuardOnDataDependentSymNode:
            answer = answer_for_filled(env, node.expr, truth)
            if answer is None or len(asked) >= _MOST:
                raise
            asked.append(_is_truth(env, node.expr))
            return answer

    with mock.patch.object(ShapeEnv, "evaluate_sym_node", answering):
        yield asked


def answer_for_filled(env: ShapeEnv, question: sympy.Basic, truth: int) -> sympy.Basic | None:
    """Return what holds for every size but 0, or where a truth is this one (1 for true).

    None if the question has more than one unknown, or its answer depends on the size.
    """
    unknown = free_unbacked_symbols(question)
    if len(unknown) != 1 or unknown != question.free_symbols:
        return None
    (symbol,) = unknown
    if not _is_truth(env, question) and symbol not in env.size_like:
        return None
    tried = (truth,) if _is_truth(env, question) else _SIZES
    answers = {question.subs(symbol, n) for n in tried}
    return answers.pop() if len(answers) == 1 else None


def _is_truth(env: ShapeEnv, question: sympy.Basic) -> bool:
    """Return whether the one unknown of a question is a boolean of a tensor."""
    ranges = [env.var_to_range.get(symbol) for symbol in free_unbacked_symbols(question)]
    return [(r.lower, r.upper) for r in ranges if r is not None] == [(0, 1)]
