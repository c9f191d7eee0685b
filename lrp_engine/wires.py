"""What has arrived at each value so far, in either form, and the conversions between the forms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from .graph import value
from .joint import Joint
from .rule import Form, stabilise
from .template import Template, is_getitem, signature, trace

_TINY = 1e-12


def to_coefficient(relevance: Tensor, a: Tensor) -> Tensor:
    """c = R / a, stabilised; relevance at a zero activation stays finite and is booked."""
    return relevance / stabilise(a, _TINY if a.dtype == torch.float64 else 1e-9)


def to_relevance(c: Tensor, a: Tensor) -> Tensor:
    """R = c * a; nothing where c is 0, even if a is infinite."""
    return (c * a).masked_fill(c == 0, 0.0)


class Wires:
    """Collects what flows into each value: contributions of several users add up."""

    def __init__(self, joint: Joint, cache: dict[Any, Any]) -> None:
        self._joint = joint
        self._cache = cache
        self._arrived: dict[tuple[fx.Node, int], list[tuple[Form, fx.Node]]] = defaultdict(list)

    def add(self, node: fx.Node, flow: fx.Node, form: Form) -> None:
        """Relevance arrives at a value; at one result of several it arrives at the producer."""
        self._arrived[node, 0].append((form, flow))
        if is_getitem(node):
            self._arrived[node.args[0], node.args[1] + 1].append((form, flow))  # type: ignore[index]

    def collect(self, node: fx.Node, form: Form) -> tuple[fx.Node | None, ...]:
        """Everything that arrived at each of a node's results, in the wanted form."""
        if isinstance(value(node), Tensor):
            return (self._total((node, 0), node, form),)
        parts = {u.args[1]: u for u in node.users if is_getitem(u)}
        results = range(len(value(node)))
        return tuple(
            self._total((node, i + 1), parts[i], form) if i in parts else None for i in results
        )

    def _total(self, key: tuple[fx.Node, int], node: fx.Node, form: Form) -> fx.Node | None:
        flows = self._arrived.get(key)
        if not flows:
            return None
        forms = {f for f, _ in flows}
        common = form if len(forms) > 1 else forms.pop()
        total = None
        for found, flow in flows:
            same = flow if found is common else self.convert(flow, node, common)
            total = same if total is None else self._write(torch.add, node, total, same)
        # The total is kept, so that asking twice writes nothing twice.
        self._arrived[key] = [(common, total)]  # type: ignore[list-item]
        return total if common is form else self.convert(total, node, form)  # type: ignore[arg-type]

    def convert(self, flow: fx.Node, node: fx.Node, form: Form) -> fx.Node:
        """The same flow in the other form; reading the activation makes a promise."""
        conversion = to_coefficient if form is Form.COEFFICIENT else to_relevance
        return self._write(conversion, node, flow, self._joint.forward(node))

    def _write(self, function: Callable[..., Tensor], asks: fx.Node, *nodes: fx.Node) -> fx.Node:
        examples = [value(n) for n in nodes]
        key = (function, *(signature(e) for e in examples))
        if key not in self._cache:
            self._cache[key] = trace(function, examples)
        template: Template = self._cache[key]
        return self._joint.write(template, nodes, asks)[0]
