"""Write sizes and conditions on sizes as text, and evaluate that text."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from torch.utils._sympy.printers import PythonPrinter

from ..capture.shape_contract import Expression
from ..errors import PackageError

_OPERATORS: Mapping[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"min": min, "max": max}
_PROBES = (2, 3, 5, 8, 17, 64)


def format_expression(expr: Expression) -> str:
    """Return a sympy expression as Python.

    Raises PackageError if `evaluate` would give the text another value.
    """
    text = str(PythonPrinter().doprint(expr))
    symbols = sorted(expr.free_symbols, key=str)
    for i in range(len(_PROBES)):
        sizes = {s: _PROBES[(i + j) % len(_PROBES)] for j, s in enumerate(symbols)}
        if evaluate(text, {str(s): n for s, n in sizes.items()}) != expr.xreplace(sizes):
            raise PackageError(f"the condition {expr} on the inputs' sizes cannot be packaged")
    return text


def symbols_in(text: str) -> frozenset[str]:
    """Return the names of the symbols in an expression."""
    nodes = ast.walk(ast.parse(text, mode="eval"))
    return frozenset(n.id for n in nodes if isinstance(n, ast.Name)) - frozenset(_FUNCTIONS)


def evaluate(text: str, sizes: Mapping[str, Any]) -> Any:
    """Return the value at these sizes. Only arithmetic is allowed: the text may be a file's."""
    try:
        return _value(ast.parse(text, mode="eval").body, sizes)
    except (SyntaxError, KeyError, TypeError) as error:
        raise PackageError(f"{text!r} is not an expression of sizes: {error!r}") from error


def _value(node: ast.expr, sizes: Mapping[str, Any]) -> Any:
    def inside(part: ast.expr) -> Any:
        return _value(part, sizes)

    match node:
        case ast.Constant(value=int()):
            return node.value
        case ast.Name():
            return sizes[node.id]
        case ast.BinOp():
            return _OPERATORS[type(node.op)](inside(node.left), inside(node.right))
        case ast.UnaryOp():
            return _OPERATORS[type(node.op)](inside(node.operand))
        case ast.BoolOp():
            values = [inside(part) for part in node.values]
            return all(values) if isinstance(node.op, ast.And) else any(values)
        case ast.Compare(ops=[op], comparators=[right]):
            return _OPERATORS[type(op)](inside(node.left), inside(right))
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            return _FUNCTIONS[name](*(inside(part) for part in node.args))
    raise TypeError(ast.dump(node))
