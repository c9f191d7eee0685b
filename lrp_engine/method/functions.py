"""Declare what a custom autograd Function is, so that it is one op with a rule of its own.

Without a declaration, a Function is traced through its forward, and a note says so. Declared, it
becomes an op of torch's, which calls the Function: its derivative is the Function's own.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

import torch
from torch.autograd import Function

from ..errors import RuleError
from .op import Op
from .validation import validate

FunctionClass = TypeVar("FunctionClass", bound=type[Function])

_RECORD, _TRACED = "_lrp_record", "_lrp_traced"
_LIBRARY = "lrp_functions"
_APPLY: Callable[..., Any] = Function.__dict__["apply"].__func__


def declare_function(
    family: type[Op], *operands: str, **facts: Any
) -> Callable[[FunctionClass], FunctionClass]:
    """Declare the family of an autograd Function; every engine then takes it for one op.

    The preset's rule for the family serves it. `forward` needs annotations of its arguments and
    result: tensors, numbers, booleans, strings, and lists of them.

    Args:
        family: the record's class in `lrp_engine.method.op`: `Pointwise`, `Linear`, `Stop`, ...
        operands: names of the arguments of `forward` through which relevance may pass.
        facts: the family's other fields, such as `at_zero`, or the `reason` of a `Stop`.

    Raises:
        RuleError: an operand is no argument of `forward`, or annotations are missing.

    Example:
        >>> import torch
        >>> import lrp_engine as lrp
        >>> from lrp_engine.method.op import AtZero, Pointwise
        >>> @lrp.declare_function(Pointwise, "x", at_zero=AtZero.ZERO)
        ... class Swish(torch.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        ...         ctx.save_for_backward(x)
        ...         return x * torch.sigmoid(x)
        ...
        ...     @staticmethod
        ...     def backward(ctx, grad):
        ...         s = torch.sigmoid(ctx.saved_tensors[0])
        ...         return grad * (s + ctx.saved_tensors[0] * s * (1 - s))
        >>> x = torch.tensor([[1.0, -2.0]])
        >>> explanation = lrp.explain(lambda x: Swish.apply(x).sum(1, keepdim=True), x, 0)
        >>> bool(torch.allclose(explanation.relevance["x"], x * torch.sigmoid(x)))
        True
    """

    def declare(function: FunctionClass) -> FunctionClass:
        record = family(target=_define(function), operands=operands, **facts)
        validate(record)
        setattr(function, _RECORD, record)
        return function

    return declare


def trace_function(function: FunctionClass) -> FunctionClass:
    """Declare that the ops of an autograd Function's forward say what it computes.

    That is what happens without a declaration, too; the note that its backward pass is not used
    then stays away.
    """
    setattr(function, _TRACED, True)
    return function


def record_of(function: type[Function]) -> Op | None:
    """Return the record of a declared Function; a subclass has none of its own."""
    record = vars(function).get(_RECORD)
    return record if isinstance(record, Op) else None


def is_traced(function: type[Function]) -> bool:
    """Return whether a Function is declared to be what its forward computes."""
    return vars(function).get(_TRACED) is True


def _define(function: type[Function]) -> torch._ops.OpOverload:
    """Define an op that calls a Function, and return it."""
    schema = _schema(function)
    base = re.sub(r"\W", "_", f"{function.__module__}_{function.__qualname__}")
    name, count = base, 1
    while hasattr(getattr(torch.ops, _LIBRARY), name):  # a notebook's cell, run again
        count += 1
        name = f"{base}_{count}"

    def call(*args: Any) -> Any:
        return _APPLY(function, *args)

    torch.library.define(f"{_LIBRARY}::{name}", schema, tags=(torch.Tag.pt2_compliant_tag,))
    torch.library.impl(f"{_LIBRARY}::{name}", "CompositeImplicitAutograd")(call)
    overload: torch._ops.OpOverload = getattr(getattr(torch.ops, _LIBRARY), name).default
    return overload


def _schema(function: type[Function]) -> str:
    forward: Any = function.forward
    try:
        hints = get_type_hints(forward)
        parameters = list(inspect.signature(forward).parameters.values())
        if function.setup_context is Function.setup_context:
            parameters = parameters[1:]  # ctx
        typed = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in parameters]

        def described(*args: Any) -> Any:
            return forward(*args)

        returned = hints.get("return", inspect.Signature.empty)
        setattr(  # noqa: B010
            described, "__signature__", inspect.Signature(typed, return_annotation=returned)
        )
        return torch.library.infer_schema(described, mutates_args=())
    except (NameError, TypeError, ValueError) as error:
        raise RuleError(
            f"{function.__qualname__} cannot be declared: {error}. Annotate the arguments and the"
            " result of its forward (ctx needs none), for example"
            " `def forward(ctx, x: Tensor, k: float) -> Tensor`"
        ) from error
