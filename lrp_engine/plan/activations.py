"""Recognise activations written as products: x * sigmoid(x), 0.5 * x * (1 + erf(x / sqrt 2)).

If both factors of an elementwise product depend, entry by entry, on one live tensor x, the
product is one function f(x), and its rule needs f(x)/x. That results if the factor that vanishes
with x counts as the signal, and the other one as a constant gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, fx

from ..graphs.nodes import value
from ..graphs.schema import Operand, pick
from ..method.op import AtZero, Op, Product

_LONGEST = 64


@dataclass
class Regions:
    """The live tensors that each node depends on entry by entry, collected along the graph."""

    above: dict[fx.Node, tuple[fx.Node, ...]] = field(default_factory=dict)
    made_by: dict[fx.Node, tuple[Op, tuple[fx.Node, ...], int]] = field(default_factory=dict)

    def live_factors(
        self, op: Op, arguments: Mapping[str, object], live: tuple[Operand, ...]
    ) -> tuple[Operand, ...]:
        """Return the operands that stay live once gates are taken for constants."""
        if not (isinstance(op, Product) and op.elementwise and len(live) == 2):
            return live
        nodes = [pick(arguments, operand) for operand in live]
        root = self._common_root(*nodes)
        if root is None:
            return live
        signals = [o for o, n in zip(live, nodes, strict=True) if self._vanishes(n, root)]
        if len(signals) == 2:
            scaled = [o for o, n in zip(live, nodes, strict=True) if self._is_scaled(n, root)]
            return (scaled[0],) if len(scaled) == 1 else live
        return tuple(signals) or live

    def add(self, node: fx.Node, op: Op, live: tuple[fx.Node, ...], terms: int) -> None:
        """Record a live node; `terms` counts the op's operands, live or not."""
        self.made_by[node] = (op, live, terms)
        above: tuple[fx.Node, ...] = ()
        if op.elementwise and all(_same_shape(node, operand) for operand in live):
            chains = [self.above.get(operand, (operand,)) for operand in live]
            shared = set(chains[0]).intersection(*chains[1:])
            above = tuple(n for n in chains[0] if n in shared)
        self.above[node] = (node, *above)[:_LONGEST]

    def _common_root(self, a: fx.Node, b: fx.Node) -> fx.Node | None:
        others = set(self.above.get(b, (b,)))
        return next((n for n in self.above.get(a, (a,)) if n in others), None)

    def _vanishes(self, node: fx.Node, root: fx.Node) -> bool:
        """Return whether node = 0 wherever root = 0."""
        if node is root:
            return True
        op, live, terms = self.made_by[node]
        if op.at_zero is AtZero.OTHER:
            return False
        if op.at_zero is AtZero.SUM:
            return len(live) == terms and all(self._vanishes(n, root) for n in live)
        return any(self._vanishes(n, root) for n in live)

    def _is_scaled(self, node: fx.Node, root: fx.Node) -> bool:
        """Return whether node = root * constant."""
        if node is root:
            return True
        op, live, _ = self.made_by[node]
        scales = op.scales and op.at_zero is AtZero.ZERO
        return scales and len(live) == 1 and self._is_scaled(live[0], root)


def _same_shape(a: fx.Node, b: fx.Node) -> bool:
    x, y = value(a), value(b)
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        return False
    return tuple(map(str, x.shape)) == tuple(map(str, y.shape))
