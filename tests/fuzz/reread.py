"""Read a net from the text it prints as, so that a finding can be run again."""

import ast
import math

import torch

from tests.fuzz.nets import Net, Port, Step
from tests.fuzz.ops import ROWS

NAMES = {"torch": torch, "inf": math.inf, "nan": math.nan}


def net_from(text: str) -> Net:
    """Return the net that prints as `text`: `Net(f[6], i[5]: 'relu'(0); 'add'(0, 2, alpha=3))`."""
    ports, steps = text.strip().removeprefix("Net(").removesuffix(")").split(": ", 1)
    return Net(
        tuple(_port(node) for node in ast.parse(f"({ports},)", mode="eval").body.elts),
        tuple(_step(node.value) for node in ast.parse(steps).body),
    )


def _value(node: ast.expr) -> object:
    return eval(compile(ast.Expression(node), "net", "eval"), {"__builtins__": {}}, NAMES)


def _port(node: ast.Subscript) -> Port:
    sizes = _value(node.slice)
    return Port(node.value.id, sizes if isinstance(sizes, tuple) else (sizes,))


def _step(call: ast.Call) -> Step:
    row = next(row for row in ROWS if row.name == _value(call.func))
    options = {keyword.arg: _value(keyword.value) for keyword in call.keywords}
    return Step(row, tuple(_value(place) for place in call.args), options)
