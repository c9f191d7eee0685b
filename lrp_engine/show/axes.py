"""Name the axes of a source: what each of them runs over."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from ..errors import InputError, suggest


class Axis(Enum):
    """Name what an axis runs over."""

    BATCH = "batch"
    CHANNEL = "channel"
    HEIGHT = "height"
    WIDTH = "width"
    FRAME = "frame"
    TIME = "time"
    FREQUENCY = "frequency"
    TOKEN = "token"
    FEATURE = "feature"
    HEAD = "head"
    LAYER = "layer"

    def __str__(self) -> str:
        return self.value


def parse_axes(axes: str | Sequence[str | Axis]) -> tuple[Axis, ...]:
    """Return axes from their names: `"batch channel time"`, or a list of names.

    Raises:
        InputError: there is no axis of such a name, or one is named twice.

    Example:
        >>> from lrp_engine.show.axes import parse_axes
        >>> [str(axis) for axis in parse_axes("batch token feature")]
        ['batch', 'token', 'feature']
    """
    names = axes.replace(",", " ").split() if isinstance(axes, str) else list(axes)
    found = tuple(_parse_axis(name) for name in names)
    if len(set(found)) != len(found):
        raise InputError(f"axes {' '.join(map(str, found))}: one axis is named twice")
    return found


def _parse_axis(name: str | Axis) -> Axis:
    known = {axis.value: axis for axis in Axis}
    if isinstance(name, Axis):
        return name
    if name not in known:
        raise InputError(f"there is no axis {name!r}{suggest(name, known)}")
    return known[name]
