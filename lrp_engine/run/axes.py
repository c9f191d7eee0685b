"""Read off a plan what the axes of its sources run over, where that is certain."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from ..graphs.aten import AFFINE, CONVOLUTIONS, EMBEDDING, PERMUTE, TRANSPOSE
from ..graphs.nodes import value
from ..method.op import Inert, Linear, Pointwise, Product, Quotient, Selection
from ..plan.plan import Plan
from ..show.axes import Axis

Axes = tuple[Axis, ...]
_SERIES = (Axis.BATCH, Axis.CHANNEL, Axis.TIME)
_IMAGE = (Axis.BATCH, Axis.CHANNEL, Axis.HEIGHT, Axis.WIDTH)
_TOKENS = (Axis.BATCH, Axis.TOKEN, Axis.FEATURE)
_TABLE = (Axis.BATCH, Axis.FEATURE)
_KEEP_AXES = (Inert, Linear, Pointwise, Product, Quotient, Selection)  # if the shape stays the same


def read_axes(plan: Plan) -> dict[str, Axes]:
    """Return the axes of the sources of which they are certain.

    A batch of images goes into a 2-d convolution, a series into a 1-d one, a table into an affine
    map; an embedding looks tokens up. Ops that change no axis may stand before, and permutations.
    Everything else is left out: a picture of it has to be told.
    """
    kept = {a.node for a in plan.assignments if isinstance(a.op, _KEEP_AXES)}
    found = {source.name: _axes_of(source.node, kept) for source in plan.sources}
    return {name: axes for name, axes in found.items() if axes}


def _axes_of(node: fx.Node, kept: set[fx.Node]) -> Axes:
    """Return the axes of a value, by what it is or by the one kind of op that reads it."""
    if node.target is EMBEDDING and value(node).dim() == len(_TOKENS):
        return _TOKENS
    asked = {_axes_before(user, node, kept) for user in node.users if _shape(user)}
    return asked.pop() if len(asked) == 1 else ()


def _axes_before(user: fx.Node, node: fx.Node, kept: set[fx.Node]) -> Axes:
    """Return the axes that a value must have for an op to read it as it does."""
    size = value(node).dim()
    if user.target in CONVOLUTIONS[1] and user.args[0] is node and size == len(_SERIES):
        return _SERIES
    if user.target in CONVOLUTIONS[2] and user.args[0] is node and size == len(_IMAGE):
        return _IMAGE
    if user.target in AFFINE and size == len(_TABLE) and node in user.args[:2]:
        return _TABLE if value(user).dim() == size else ()
    if user.target in (PERMUTE, TRANSPOSE):
        return _before_permuting(_axes_of(user, kept), _order(user, size))
    if user in kept and _shape(user) == _shape(node):
        return _axes_of(user, kept)
    return ()


def _order(user: fx.Node, size: int) -> list[int]:
    """Return which axis each axis of a permutation's result was."""
    if user.target is PERMUTE:
        given: Sequence[int] = user.args[1]  # type: ignore[assignment]
        return [axis % size for axis in given]
    order, (_, first, second) = list(range(size)), user.args[:3]
    assert isinstance(first, int)
    assert isinstance(second, int)
    order[first], order[second] = order[second], order[first]
    return order


def _before_permuting(after: Axes, order: Sequence[int]) -> Axes:
    if not after:
        return ()
    before = dict(zip(order, after, strict=True))
    axes = tuple(before[axis] for axis in range(len(order)))
    return axes if axes[0] is Axis.BATCH else ()


def _shape(node: fx.Node) -> tuple[object, ...]:
    """Return the shape of a node's value, symbols as text; () if it is no tensor."""
    return tuple(map(str, getattr(value(node), "shape", ())))
